"""What may not stand on a route that moves money: whatever could lose a bet, a win or a rollback."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from gateway.config.findings import Finding, Place
from gateway.config.lists import Entry
from gateway.config.models import ProviderConfig, RouteConfig

_REFUSED = {
    "cache": "the cache would answer for the wallet: a bet would look taken that never reached it",
    "fallback": "the fallback would answer for the wallet: a bet would look taken that never reached it",
    "rate_limit": "rate_limit would turn away wins and rollbacks, too",
    "concurrency": "concurrency would turn away wins and rollbacks, too",
}
_WATCH = "remove it from this route, or let it watch: mode: shadow"


def is_wallet_route(
    route: RouteConfig,
    entries: Sequence[Entry],
    providers: Mapping[str, ProviderConfig],
    names: Collection[str],
) -> bool:
    """Does a provider call the platform here?

    It does where authentication asks for a provider, or the allow-list takes a provider's networks. Where
    neither tells who calls, a provider's route that is no read and leads to no provider counts as one.
    `names` are those of all providers, also of those that are wrong in themselves.
    """
    consumers: list[object] = []
    sources: set[object] = set()
    for entry in entries:
        if entry.name == "authentication":
            named = entry.settings.get("consumers")
            consumers += named if isinstance(named, list) else []
        elif entry.name == "ip_allow_list":
            sources.add(entry.settings.get("from"))
    if any(isinstance(name, str) and name in names for name in consumers):
        return True
    if consumers or "consumer" in sources:
        return False
    if "provider" in sources:
        return True
    reached = {provider.upstream for provider in providers.values()}
    read = route.match.methods <= {"GET", "HEAD", "OPTIONS"}
    return route.provider is not None and None not in reached and route.upstream not in reached and not read


def may_stand(entry: Entry) -> bool:
    """False for what a wallet route may not have at all: wherever it stood, it would have to go."""
    return entry.name not in _REFUSED or entry.mode != "enforce"


def check_wallet(entries: Sequence[Entry], route: str, place: Place, *, complete: bool) -> Iterator[Finding]:
    """What could lose money on a wallet route; what is missing is told where the list is `complete`."""
    guarded = any(
        entry.name == "authentication" or (entry.name == "ip_allow_list" and entry.mode == "enforce")
        for entry in entries
    )
    if complete and not guarded:
        message = f"route {route} moves money, and anybody may call it"
        yield Finding.at(place, message, "add authentication, or name who calls it there if it moves none")
    for entry in entries:
        if entry.name == "authentication" and entry.mode in ("shadow", "off"):
            yield Finding.at(
                entry.place_of("mode"),
                f"route {route} moves money, and authentication in mode {entry.mode} lets anybody do so",
                "set mode: enforce",
            )
        elif not may_stand(entry):
            mend = _WATCH if entry.name in ("rate_limit", "concurrency") else "remove it from this route"
            yield Finding.at(entry.place, f"route {route} moves money, and {_REFUSED[entry.name]}", mend)
