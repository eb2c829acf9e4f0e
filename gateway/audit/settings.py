"""What `routes.yaml` may say under `audit:`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from gateway.consumers import Url
from gateway.mistakes import Mistake
from gateway.units import Duration, Secret, Size

KEY_LENGTH = 32
"""Characters of a key: 128 bits and more, however they are written."""


def _check_key(key: SecretStr) -> SecretStr:
    length = len(key.get_secret_value().strip())
    if length < KEY_LENGTH:
        raise Mistake(
            f"the audit key has {length} characters; {KEY_LENGTH} are needed, so that nobody can guess it",
            "make one with `openssl rand -hex 32`",
        )
    return key


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


AuditKey = Annotated[Secret, AfterValidator(_check_key)]
"""A key of HMAC-SHA256 (RFC 2104)."""


class AuditHeadConfig(_Settings):
    """Where the end of the chain is told to. A chain alone cannot show that its end was cut off."""

    path: str | None = None
    """A file that grows by one line each time, relative to the configuration file; best on another machine's
    disk, or one that can only be appended to."""
    webhook: Url | None = None
    """A URL that gets it as JSON by POST."""
    every: Annotated[Duration, Field(gt=0)] = 10.0
    """How long entries about calls may be ahead of what was told; about all else it is told at once."""


class AuditRotateConfig(_Settings):
    """When a new file of the log is begun. The chain goes on through it; old files are never removed."""

    size: Annotated[Size, Field(ge=4096)] = 64 * 1024 * 1024
    """Bytes of one file."""
    every: Annotated[Duration, Field(ge=1)] = 86_400.0
    """Age of its first entry."""


class AuditConfig(_Settings):
    """The append-only record of who called what, and of all that was changed."""

    key: AuditKey
    """Authenticates every line (HMAC-SHA256), so that only who knows it can write one."""
    old_keys: tuple[AuditKey, ...] = ()
    """Keys of earlier lines, for `gateway audit verify` after `key` was changed."""
    directory: str = "audit"
    """Where its files are, relative to `server.state_dir`."""
    calls: Literal["refused", "all"] = "refused"
    """`refused` records calls that the gateway refused, and every call on wallet routes; `all` every call."""
    head: AuditHeadConfig = AuditHeadConfig()
    """Where the end of the chain is told to."""
    rotate: AuditRotateConfig = AuditRotateConfig()
    """When a new file is begun."""
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Entries per worker that may wait for the disk."""
    on_full: Literal["refuse", "drop"] = "refuse"
    """When that many wait, or the disk takes none: `refuse` answers calls with 503 BUSY until it does again;
    `drop` lets them pass, and the log tells how many it misses."""
