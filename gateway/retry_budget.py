"""How many retries an upstream may see."""

from __future__ import annotations

from typing import ClassVar


class Budget:
    """Tokens for retries: every call earns a share of one, every retry costs one.

    A new budget lends ten tokens, which the first calls pay back, so that retries never exceed ten or
    the share of all calls made, whichever is more. Tokens older than two windows are forgotten: a quiet
    night does not pay for a storm in the morning.
    """

    WINDOW_SECONDS: ClassVar[float] = 10.0
    RESERVE: ClassVar[float] = 10.0

    __slots__ = ("_debt", "_earned", "_earned_before", "_rotate_at", "_share", "tokens")

    def __init__(self, share: float, now: float) -> None:
        self._share = share * 0.999  # strictly less than the share, whatever the number of calls
        self.tokens = self._debt = self.RESERVE if share else 0.0
        self._earned = self._earned_before = 0.0
        self._rotate_at = now + self.WINDOW_SECONDS

    def earn(self, now: float) -> None:
        """A call is made."""
        if now >= self._rotate_at:
            self._rotate(now)
        if self._debt > 0:
            self._debt -= self._share
        else:
            self._earned += self._share
            self.tokens += self._share

    def spend(self, now: float) -> bool:
        """Take a token for a retry; False where there is none."""
        if now >= self._rotate_at:
            self._rotate(now)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def charge(self, retries: int) -> None:
        """Somebody else sent calls again already: later retries pay for that."""
        self.tokens -= retries

    def _rotate(self, now: float) -> None:
        late = now >= self._rotate_at + self.WINDOW_SECONDS
        self._earned, self._earned_before = 0.0, 0.0 if late else self._earned
        self.tokens = min(self.tokens, max(self.RESERVE, self._earned_before))
        self._rotate_at = now + self.WINDOW_SECONDS

    def __repr__(self) -> str:
        return f"<Budget {self.tokens:.1f} retries left>"
