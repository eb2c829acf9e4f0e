"""A caller that checks every answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """What the verifier saw."""

    calls: int
    """All calls it made, the refused ones included."""
    faults: list[str] = field(default_factory=list)
    refused: int = 0
    """How many of its calls had no valid key, and were to be refused."""


class Verifier:
    """Calls through a proxy about `rate` times a second and compares each answer with the origin's own.

    `additions`: names of headers (a final `*` stands for any rest) that this proxy may add to an answer.
    `traced`: the origin must receive a traceparent.
    """

    def __init__(
        self,
        port: int,
        key: str,
        origin_port: int,
        *,
        rate: float = 20,
        path: str = "/games",
        additions: Iterable[str] = (),
        traced: bool = False,
    ) -> None:
        self.port = port

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> Verdict:
        raise NotImplementedError
