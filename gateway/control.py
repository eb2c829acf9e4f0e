"""HTTP off the hot path, as those see it who need it: tokens, key sets, introspection, probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a control-plane endpoint answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ControlClient(Protocol):
    """HTTP off the hot path: tokens, JWKS, introspection, probes. Never follows redirects or HTTP_PROXY."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 5.0,
    ) -> Answer:
        """One call. Raises `UpstreamError` where no answer came."""
        ...
