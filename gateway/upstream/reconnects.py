"""How often an upstream's calls are sent again because a kept connection ended under them."""

from __future__ import annotations

from typing import ClassVar


class Reconnects:
    """Within a window, ten calls or a fifth of those that were answered, whichever is more.

    An upstream that drops every connection at its second call would otherwise see nearly every call twice,
    just when it can least bear it. Counting begins when it first happens: calls that go well pay nothing.
    """

    WINDOW_SECONDS: ClassVar[float] = 10.0
    RESERVE: ClassVar[float] = 10.0
    SHARE: ClassVar[float] = 0.2

    __slots__ = ("_answered_before", "_made", "_until")

    def __init__(self) -> None:
        self._until = 0.0
        self._answered_before = 0.0
        self._made = 0

    def allow(self, now: float, answered: float) -> bool:
        """May one more be sent again? `answered` is how many calls the upstream has answered up to now."""
        if now >= self._until:
            self._until = now + self.WINDOW_SECONDS
            self._answered_before = answered
            self._made = 0
        if self._made >= max(self.RESERVE, self.SHARE * (answered - self._answered_before)):
            return False
        self._made += 1
        return True

    def __repr__(self) -> str:
        return f"<Reconnects {self._made} in this window>"
