"""Secrets in query strings: callers of game APIs send keys, hashes and session tokens there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from gateway.observer.masking import Masking

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
_PARAMETER = re.compile(r"(?<![^&;])(=*[^&;=]+)=([^&;]*)")
"""Sought only where a parameter begins: from every letter on, a long word would take quadratic time."""


@lru_cache(1024)
def is_secret(name: str) -> bool:
    """Does a parameter of this name hold a secret? Case, `-`, `_` and percent-encoding make no difference."""
    bare = re.sub(r"[^a-z0-9]", "", unquote_plus(name).lower())
    return bare in _EXACT or any(part in bare for part in _PARTS)


def redact_query(query: str, secrets: Sequence[str] = (), masking: Masking | None = None) -> str:
    """The query with the value of every secret parameter replaced, those named in `secrets` (decoded) too.

    With `masking`, a person's data goes as well.
    """
    if masking is not None:
        return masking.query(query, secrets)
    if not query:
        return ""
    if not secrets:
        return _PARAMETER.sub(_redact, query)

    def redact(parameter: re.Match[str]) -> str:
        return f"{parameter[1]}={REDACTED}" if unquote_plus(parameter[1]) in secrets else _redact(parameter)

    return _PARAMETER.sub(redact, query)


def redact_target(
    target: str, secrets: Sequence[str] = (), masking: Masking | None = None, template: str = ""
) -> str:
    """A path, or URL, and query with the query's secrets replaced.

    With `masking`, a person's data goes as well, and what the `:name`s of the route's `template` stand for
    where these tell of a secret or a person.
    """
    path, mark, query = target.partition("?")
    if masking is not None:
        path = masking.path(path, template)
    return path + mark + redact_query(query, secrets, masking) if mark else path


def _redact(parameter: re.Match[str]) -> str:
    return f"{parameter[1]}={REDACTED}" if is_secret(parameter[1]) else parameter[0]
