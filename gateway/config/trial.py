"""Building every policy once, for mistakes that only this finds. Nothing is reached, nothing kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from gateway.config.findings import Finding
from gateway.config.lists import Entry
from gateway.config.models import RouteConfig
from gateway.consumers import Consumer
from gateway.errors import Sent, UpstreamError
from gateway.exchange import Exchange, Response
from gateway.mistakes import Mistake
from gateway.services import Answer, RouteFacts, Services
from gateway.stores import Stores


class _NoControl:
    """A control plane that reaches nothing: a trial must not call anybody."""

    async def request(self, method: str, url: str, **_: object) -> Answer:
        """Raise, always."""
        raise UpstreamError("UPSTREAM_UNREACHABLE", f"{method} {url} is only a trial", sent=Sent.NO)


nothing_there = _NoControl()


async def nowhere(exchange: Exchange) -> Response:
    """An upstream that reaches nothing."""
    raise UpstreamError("UPSTREAM_UNREACHABLE", f"{exchange.path} is only a trial", sent=Sent.NO)


def try_out(
    routes: Iterable[tuple[RouteConfig, tuple[Entry, ...]]],
    callers: Mapping[str, Consumer],
    upstreams: Collection[str],
    *,
    complete: bool,
) -> Iterator[Finding]:
    """What building the policies of these routes objects to; what they share is built once per provider.

    Where not all callers are known (`complete` is false), and where a policy names what is not there, which
    has been said, nothing is built.
    """
    services = Services(
        control=nothing_there, stores=Stores(), consumers=callers, upstreams=dict.fromkeys(upstreams, nowhere)
    )
    built: set[tuple[int, str]] = set()
    for route, entries in routes:
        for entry in entries:
            key = (id(entry), route.provider or "")
            if entry.placed is None or entry.mode == "off" or key in built:
                continue
            if not _has_what_it_names(entry, route.provider, callers, upstreams, complete=complete):
                continue
            built.add(key)
            facts = RouteFacts(route.name, route.upstream, route.provider or "", route.stream)
            try:
                entry.placed.config.build(replace(services, route=facts))
            except (ValueError, OSError) as error:
                message, mend = (error.what, error.mend) if isinstance(error, Mistake) else (str(error), "")
                yield Finding.at(
                    entry.place, f"on route {route.name}, {entry.name} cannot be built: {message}", mend
                )


def _has_what_it_names(
    entry: Entry,
    provider: str | None,
    callers: Mapping[str, Consumer],
    upstreams: Collection[str],
    *,
    complete: bool,
) -> bool:
    if entry.name == "authentication":
        names = entry.settings.get("consumers")
        return all(name in callers and callers[name].credentials for name in names) if names else complete
    if entry.name == "ip_allow_list" and entry.settings.get("from") == "provider":
        return provider in callers
    return entry.name != "fallback" or entry.settings.get("upstream") in (None, *upstreams)
