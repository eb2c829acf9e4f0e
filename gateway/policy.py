"""The one idea: a policy meets an exchange, and decides whether and how to forward it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from gateway.exchange import Exchange, Response

if TYPE_CHECKING:
    from gateway.services import Services

Forward = Callable[[Exchange], Awaitable[Response]]
"""Send an exchange on its way, inwards: the next policy, in the end the upstream."""

Mode = Literal["enforce", "shadow", "off"]


class Policy(Protocol):
    """A gate is a plain function that raises `Refused` or returns `forward(exchange)`.

    A wrapper is an `async def` around `await forward(exchange)`. Only a policy whose config says
    `forwards_again` may call `forward` more than once for one exchange.
    """

    def __call__(self, exchange: Exchange, forward: Forward) -> Awaitable[Response]: ...


class PolicyConfig(BaseModel):
    """What YAML may say about one policy: it describes and builds itself."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    name: ClassVar[str]
    forwards_again: ClassVar[bool] = False
    shadows_itself: ClassVar[bool] = False
    """True where `build` heeds `mode: shadow` itself. Else the chain sees to it: a refusal before
    the call was forwarded is recorded as `would_refuse`, and the call passes."""

    mode: Mode = "enforce"
    """enforce: decide and act; shadow: decide, record it, let the call pass; off: absent."""

    def describe(self) -> str:
        """One English sentence, no trailing full stop: what this policy does, with its figures."""
        raise NotImplementedError

    def build(self, services: Services) -> Policy:
        """The policy itself. All precomputation happens here, once per route and configuration."""
        raise NotImplementedError

    def secret_parameters(self) -> frozenset[str]:
        """Query parameters that carry credentials by this policy's configuration, decoded: never recorded."""
        return frozenset()

    def files(self) -> tuple[str, ...]:
        """Paths of the files it reads itself: where one changes, the configuration does."""
        return ()

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        """For `gateway explain`: what it would decide, in a sentence, touching no live state.

        Raises `Refused` where it would refuse; sets `exchange.consumer` where it would find one.
        """
        del exchange, services
        return "passes it on"
