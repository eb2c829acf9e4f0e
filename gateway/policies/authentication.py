"""Only known consumers pass."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import ConfigDict, model_validator

from gateway.enforcement.authentication import Gate
from gateway.exchange import Exchange
from gateway.metrics import Metrics
from gateway.mistakes import Mistake
from gateway.networks import NetworkSet
from gateway.policy import Policy, PolicyConfig
from gateway.services import Services, State
from gateway.tokens.accept import Accept, credential_places, make_schemes


class AuthenticationConfig(PolicyConfig):
    """Only known consumers pass; from here on the call has a consumer."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    name: ClassVar[str] = "authentication"
    shadows_itself: ClassVar[bool] = True

    accept: tuple[Accept, ...]
    """Ways to prove who one is: `api_key`, `basic`, `jwt`, `introspection`, `client_certificate`."""
    consumers: tuple[str, ...] = ()
    """Who may call; empty for every known consumer."""
    forward_credentials: bool = False
    """Let the caller's credentials travel on to the upstream."""

    @model_validator(mode="after")
    def _check(self) -> AuthenticationConfig:
        if not self.accept:
            raise Mistake(
                "authentication accepts nothing", "list ways in under accept: api_key, basic, jwt, ..."
            )
        headers = {accept.api_key.header for accept in self.accept if accept.api_key is not None}
        if "authorization" in headers and not {"basic", "jwt", "introspection"}.isdisjoint(self._kinds()):
            raise Mistake(
                "an API key in `authorization` leaves no room there for basic, jwt or introspection",
                "read the key from another header",
            )
        return self

    def _kinds(self) -> list[str]:
        return list(dict.fromkeys(accept.kind for accept in self.accept))

    def describe(self) -> str:
        *front, last = dict.fromkeys(accept.describe() for accept in self.accept)
        ways = f"{', '.join(front)}{' or ' if front else ''}{last}"
        who = " or ".join(self.consumers) if self.consumers else "any known consumer"
        passed_on = ", and forwards it" if self.forward_credentials else ""
        return f"lets in {who} by {ways}{passed_on}"

    def build(self, services: Services) -> Policy:
        gate = self._gate(services)
        return gate.watch if self.mode == "shadow" else gate

    def _gate(self, services: Services) -> Gate:
        self._check_consumers(services)
        return Gate(
            make_schemes(self.accept, services),
            frozenset(self.consumers or services.consumers),
            {
                name: NetworkSet(known.networks)
                for name, known in services.consumers.items()
                if known.networks
            },
            services,
            hide=None if self.forward_credentials else credential_places(self.accept),
        )

    def _check_consumers(self, services: Services) -> None:
        for name in self.consumers:
            if name not in services.consumers:
                raise Mistake(
                    f"authentication lets in {name}, which is neither a consumer nor a provider",
                    "name one that is",
                )
        kinds = self._kinds()
        names = self.consumers or tuple(services.consumers)
        if not any(one.kind in kinds for name in names for one in services.consumers[name].credentials):
            raise Mistake(
                f"authentication would refuse everybody, since it accepts {' or '.join(kinds)}",
                f"give {' or '.join(names) or 'a consumer'} such a credential",
            )

    def secret_parameters(self) -> frozenset[str]:
        return credential_places(self.accept)[1]

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        gate = self._gate(replace(services, state=State(), metrics=Metrics()))
        return gate.foresee(exchange)
