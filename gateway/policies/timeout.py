"""One deadline over the rest of the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from gateway.enforcement.timeout import shadow_timeout, timeout_policy
from gateway.exchange import Exchange
from gateway.policy import Policy, PolicyConfig
from gateway.units import Duration, format_duration

if TYPE_CHECKING:
    from gateway.services import Services


class TimeoutConfig(PolicyConfig):
    """One deadline over everything inside: waiting, attempts, and the body unless the route streams."""

    name: ClassVar[str] = "timeout"
    shadows_itself: ClassVar[bool] = True

    total: Duration = Field(default=10.0, gt=0)
    """Longest time from entering this policy to the last byte of the answer."""

    def describe(self) -> str:
        return f"ends the call {format_duration(self.total)} after it got here"

    def build(self, services: Services) -> Policy:
        detail = f"no complete answer within {format_duration(self.total)}"
        if self.mode == "shadow":
            return shadow_timeout(self.total, services.clock.now, detail)
        return timeout_policy(self.total, services.clock.now, detail, ends_at_head=services.route.stream)

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return f"would give up {format_duration(self.total)} later"
