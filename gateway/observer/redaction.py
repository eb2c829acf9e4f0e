"""Secrets in query strings: callers of game APIs send keys, hashes and session tokens there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_plus

REDACTED = "REDACTED"
"""The word OpenTelemetry's semantic conventions ask for."""

_EXACT = frozenset(
    "auth authorization hash hmac jwt key mac otp pass pin pwd sid sig sign xauth".split()  # noqa: SIM905 - a list
)
_PARTS = (
    "accesskey", "apikey", "authkey", "checksum", "credential", "digest", "passphrase", "passwd", "password",
    "privatekey", "secret", "session", "signature", "token",
)  # fmt: skip
_PARAMETER = re.compile(r"(?<![^&;])(=*[^&;=]+)=([^&;]*)")
"""Sought only where a parameter begins: from every letter on, a long word would take quadratic time."""


@lru_cache(1024)
def is_secret(name: str) -> bool:
    """Does a parameter of this name hold a secret? Case, `-`, `_` and percent-encoding make no difference."""
    bare = re.sub(r"[^a-z0-9]", "", unquote_plus(name).lower())
    return bare in _EXACT or any(part in bare for part in _PARTS)


def redact_query(query: str, secrets: Sequence[str] = ()) -> str:
    """The query with the value of every secret parameter replaced, those named in `secrets` (decoded) too."""
    if not query:
        return ""
    if not secrets:
        return _PARAMETER.sub(_redact, query)

    def redact(parameter: re.Match[str]) -> str:
        return f"{parameter[1]}={REDACTED}" if unquote_plus(parameter[1]) in secrets else _redact(parameter)

    return _PARAMETER.sub(redact, query)


def redact_target(target: str, secrets: Sequence[str] = ()) -> str:
    """A path, or URL, and query with the query's secrets replaced."""
    path, mark, query = target.partition("?")
    return path + mark + redact_query(query, secrets) if mark else path


def _redact(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}={REDACTED}" if is_secret(parameter[1]) else parameter[0]
