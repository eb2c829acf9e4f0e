"""Only callers from listed networks pass."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from gateway.enforcement.ip_allow_list import (
    Judge,
    ip_allow_list_policy,
    judge_by_consumer,
    judge_by_networks,
)
from gateway.errors import Refused
from gateway.exchange import Exchange
from gateway.mistakes import Mistake
from gateway.networks import Network, NetworkSet
from gateway.policy import Policy, PolicyConfig
from gateway.services import Services


class IpAllowListConfig(PolicyConfig):
    """Only callers from listed networks pass. Asks the true client address, never a header."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    name: ClassVar[str] = "ip_allow_list"
    shadows_itself: ClassVar[bool] = True

    networks: tuple[Network, ...] = ()
    """Where calls may come from: `10.0.0.0/8`, `2001:db8::/32`, or one address."""
    source: Literal["provider", "consumer"] | None = Field(default=None, alias="from")
    """Instead of `networks`: those of the route's provider, or of the consumer that authentication found."""

    @model_validator(mode="after")
    def _check(self) -> IpAllowListConfig:
        if bool(self.networks) == (self.source is not None):
            raise Mistake(
                "ip_allow_list takes either `networks`, at least one, or `from`",
                "write networks: [10.0.0.0/8], from: provider or from: consumer",
            )
        return self

    def describe(self) -> str:
        if self.source == "provider":
            return "lets in callers from the networks of the route's provider"
        if self.source == "consumer":
            return "lets in callers from the networks of the consumer they proved to be"
        if len(self.networks) > 3:
            return f"lets in callers from {len(self.networks):,} networks"
        *front, last = (str(network) for network in self.networks)
        return f"lets in callers from {', '.join(front)}{' and ' if front else ''}{last}"

    def build(self, services: Services) -> Policy:
        refusals = services.metrics.counter(
            "gateway_ip_refused_total", "Calls from addresses that are not allowed.", ("route", "mode")
        )
        labels = (services.route.name, self.mode)
        return ip_allow_list_policy(self._judge(services), refusals, labels, shadow=self.mode == "shadow")

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        wrong = self._judge(services)(exchange)
        if wrong:
            raise Refused("IP_NOT_ALLOWED", wrong)
        return f"passes {exchange.client}"

    def _judge(self, services: Services) -> Judge:
        if self.source == "consumer":
            known = services.consumers.items()
            return judge_by_consumer({name: NetworkSet(one.networks) for name, one in known if one.networks})
        return judge_by_networks(self._networks(services))

    def _networks(self, services: Services) -> NetworkSet:
        if self.source is None:
            return NetworkSet(self.networks)
        provider = services.route.provider
        known = services.consumers.get(provider)
        if not provider or known is None:
            raise Mistake(
                "ip_allow_list takes its networks from a provider, and the route has none",
                f"give route {services.route.name} a provider",
            )
        if not known.networks:
            raise Mistake(f"provider {provider} has no networks", "list where its callbacks come from")
        return NetworkSet(known.networks)
