"""Secrets in query strings: callers of game APIs send keys, hashes and session tokens there."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_plus

REDACTED = "REDACTED"
"""The word OpenTelemetry's semantic conventions ask for."""

_EXACT = frozenset({
    "auth", "authorization", "hash", "hmac", "jwt", "key", "mac", "md5", "otk", "otp", "pass", "pin", "pwd",
    "sid", "sig", "sign", "ticket", "xauth",
})  # fmt: skip
_PARTS = (
    "accesscode", "accesskey", "apikey", "authkey", "checksum", "credential", "digest", "hashkey",
    "launchkey", "passphrase", "passwd", "password", "privatekey", "secret", "session", "signature", "token",
)  # fmt: skip
PARAMETER = re.compile(r"(?<![^&;])(=*[^&;=]+)=([^&;]*)")
"""Name and value. Sought where a parameter begins: from every letter on, a long word takes quadratic time."""


@lru_cache(1024)
def is_secret(name: str) -> bool:
    """Does a parameter of this name hold a secret? Case, `-`, `_` and percent-encoding make no difference."""
    bare = re.sub(r"[^a-z0-9]", "", unquote_plus(name).lower())
    return bare in _EXACT or any(part in bare for part in _PARTS)


def redact_query(query: str) -> str:
    """The query with the value of every parameter replaced whose name tells of a secret."""
    return PARAMETER.sub(_redact, query)


def redact_target(target: str) -> str:
    """A path, or URL, and query with the query's secrets replaced."""
    path, mark, query = target.partition("?")
    return path + mark + redact_query(query) if mark else path


def _redact(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}={REDACTED}" if is_secret(parameter[1]) else parameter[0]
