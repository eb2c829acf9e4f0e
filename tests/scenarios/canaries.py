"""Distinct secrets and personal data to plant in every input, and how each is looked for in an output."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

OURS = (
    "api-key", "api-key-rotated", "basic-password", "jwt-key", "oauth-secret", "introspection-secret",
    "bearer", "upstream-key", "set-header", "admin-token", "admin-token-rotated", "collector-key",
    "store-password", "health-key", "unused-default",
)  # fmt: skip
"""What the configuration holds."""
THEIRS = (
    "wrong-key", "wrong-basic", "wrong-bearer", "cookie", "x-session", "referer-token", "proxy-authorization",
    "query-auth-token", "query-hash", "query-sign", "query-key", "query-token", "query-session-id",
    "query-encoded-name", "query-of-policy", "path-token", "request-body", "broken-head", "broken-target",
    "unrouted-token", "absolute-token",
)  # fmt: skip
"""What callers send."""
UPSTREAMS = ("set-cookie", "answer-body", "error-body", "location-token", "broken-answer", "answer-header")
"""What upstreams answer."""
SECRETS = {
    name: f"c4n4ry-{name}-{number:02}-Zq9x7Kw3" for number, name in enumerate((*OURS, *THEIRS, *UPSTREAMS))
}
PERSONS = {
    "email": "canary.person@mail.example",
    "email-in-path": "canary.path@mail.example",
    "email-of-agent": "canary.agent@mail.example",
    "first-name": "Canaryna",
    "nickname-in-path": "canarynick",
    "address": "Canary Street 7",
    "phone": "+4930c4n4ry",
    "birth-date": "1987-06-c4n4ry",
    "player-name": "c4n4ryplayer",
    "tag": "c4n4rytag",
    "card": "4929123456789015",
    "card-in-path": "5425233430109903",
}
"""Personal data; the tag is masked by a rule of the configuration, all else by well-known names and forms."""


_SHORTEST = 8
"""Bytes of a form that no output holds by chance."""


def forms(value: str) -> set[bytes]:
    """A text as it may stand in an output: as it is, percent-encoded, in base64 at any offset, in hex."""
    raw = value.encode()
    found = {raw, quote(value, safe="").encode(), quote(value).encode(), value.replace(" ", "+").encode()}
    percents = "".join(f"%{byte:02X}" for byte in raw)
    found |= {percents.encode(), percents.lower().encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for encode in (b64encode, urlsafe_b64encode):
        for offset in range(3):
            # What stands before and behind the value decides about the first and last characters only.
            found.add(encode(b"\0" * offset + raw)[4 if offset else 0 : -4])
    return {form for form in found if len(form) >= _SHORTEST}


def found_in(output: str | bytes, canaries: dict[str, str]) -> list[str]:
    """The names of those that an output shows in any form, with what stands around the first of each."""
    data = output.encode() if isinstance(output, str) else output
    shown = []
    for name, value in canaries.items():
        for form in forms(value):
            at = data.find(form)
            if at >= 0:
                shown.append(f"{name}: {data[max(0, at - 60) : at + len(form) + 20]!r}")
                break
    return shown
