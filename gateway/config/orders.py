"""Orders of policies that would let callers in, leak answers, hide failures or lose count.

The list is the order and nothing is sorted, so what is dangerous must be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config.findings import Finding, Place
from gateway.config.lists import Entry

_ONCE = {
    "authentication": "callers would have to prove themselves twice",
    "cache": "the outer one would keep what the inner one serves, past its time",
    "retry": "their attempts would multiply",
    "error_codes": "the outer one would read the inner one's answers",
    "upstream_auth": "the inner one would replace the outer one's credentials",
}
"""Policies that make sense only once, and what twice would do."""

_BEHIND_ERROR_CODES = frozenset({"upstream_auth", "headers", "error_codes"})
"""What may stand inside of `error_codes`; all else has to see answers as it classified them."""


def check_order(
    entries: Sequence[Entry], route: str, place: Place, *, provider: bool, complete: bool
) -> Iterator[Finding]:
    """What is dangerous about a route's policies as they stand, outermost first.

    `provider` tells whether the route has one. Policies that are off are not there. Where some could not be
    read, the list is not `complete`, and nothing is said about what is missing from it.
    """
    active = [entry for entry in entries if entry.mode != "off"]
    yield from _repeated(active, route)
    yield from _before_authentication(active, route)
    yield from _callers(active, route, place, provider=provider, complete=complete)
    yield from _inside_error_codes(active, route)
    yield from _fallbacks(active, route, complete=complete)
    yield from _breakers(active, route)


def _first(entries: Sequence[Entry], name: str) -> int | None:
    return next((index for index, entry in enumerate(entries) if entry.name == name), None)


def _repeated(entries: Sequence[Entry], route: str) -> Iterator[Finding]:
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in _ONCE and entry.name in first:
            other = first[entry.name].place
            yield Finding.at(
                entry.place,
                f"route {route} has {entry.name} twice, first at {other.file}:{other.line}: "
                f"{_ONCE[entry.name]}",
                "remove one of them",
            )
        first.setdefault(entry.name, entry)


def _before_authentication(entries: Sequence[Entry], route: str) -> Iterator[Finding]:
    """What must not be reached by callers that nobody has checked yet."""
    for gate, cached, forwarded in (
        (
            "authentication",
            "strangers would be served from the cache",
            "strangers' calls would be sent again",
        ),
        ("ip_allow_list", "refused addresses would be served from the cache", ""),
    ):
        gates = [index for index, entry in enumerate(entries) if entry.name == gate]
        if not gates:
            continue
        # A second allow-list may narrow the first; a second authentication is an error of its own.
        index = gates[0] if gate == "authentication" else gates[-1]
        for entry in entries[:index]:
            if entry.name == "cache":
                reason = cached
            elif entry.name in ("retry", "fallback") and forwarded:
                reason = forwarded
            elif entry.name == "upstream_auth" and gate == "authentication":
                reason = "authentication would remove the credentials it adds"
            else:
                continue
            yield Finding.at(
                entry.place,
                f"on route {route}, {entry.name} stands outside {gate}: {reason}",
                f"move {gate} above {entry.name}",
            )


def _callers(
    entries: Sequence[Entry], route: str, place: Place, *, provider: bool, complete: bool
) -> Iterator[Finding]:
    """Rules that need to know the caller, and routes that never ask."""
    known = not complete
    gated = False
    for entry in entries:
        if entry.name == "authentication":
            known = True
            if entry.mode == "shadow":
                yield Finding.at(
                    entry.place,
                    f"on route {route}, authentication only watches: everybody is let in",
                    "set mode: enforce before real traffic arrives",
                    severity="warning",
                )
        elif entry.name == "ip_allow_list":
            gated = gated or entry.mode == "enforce"
            source = entry.settings.get("from")
            if source == "consumer" and not known:
                yield _unknown_caller(entry, route, "from: consumer")
            elif source == "provider" and not provider:
                yield Finding.at(
                    entry.place,
                    f"route {route} has no provider, but ip_allow_list takes its networks from one",
                    "give the route a provider, or list networks here",
                )
        elif (
            entry.name in ("rate_limit", "concurrency")
            and entry.settings.get("by") == "consumer"
            and not known
        ):
            yield _unknown_caller(entry, route, "by: consumer")
    if not known:
        who = "any caller from an allowed address" if gated else "everybody"
        yield Finding.at(
            place,
            f"route {route} has no authentication: it serves {who}",
            "add authentication",
            severity="warning",
        )


def _unknown_caller(entry: Entry, route: str, setting: str) -> Finding:
    return Finding.at(
        entry.place,
        f"on route {route}, {entry.name} says `{setting}` where no consumer is known yet",
        f"put authentication above {entry.name}",
    )


def _inside_error_codes(entries: Sequence[Entry], route: str) -> Iterator[Finding]:
    index = _first(entries, "error_codes")
    if index is None:
        return
    inside = [entry.name for entry in entries[index + 1 :] if entry.name not in _BEHIND_ERROR_CODES]
    if inside:
        yield Finding.at(
            entries[index].place,
            f"on route {route}, error_codes stands outside {_and(inside)}, "
            "which would not see what a provider's answer means",
            "move error_codes to the end; only upstream_auth and headers may follow it",
        )


def _fallbacks(entries: Sequence[Entry], route: str, *, complete: bool) -> Iterator[Finding]:
    for index, entry in enumerate(entries):
        if entry.name != "fallback":
            continue
        outside = {outer.name for outer in entries[:index]}
        watchers = sorted(outside & {"circuit_breaker", "retry"})
        if watchers:
            yield Finding.at(
                entry.place,
                f"on route {route}, fallback stands inside {_and(watchers)}, and would hide every failure",
                f"move fallback above {_and(watchers)}",
            )
        stale = "stale" in entry.settings
        if "cache" in outside:
            why = (
                "and a stale answer is only found in a cache further in"
                if stale
                else "which would keep its stand-in answers"
            )
            yield Finding.at(
                entry.place,
                f"on route {route}, fallback stands inside cache, {why}",
                "move fallback above cache",
            )
        elif stale and complete and _first(entries, "cache") is None:
            yield Finding.at(
                entry.place,
                f"on route {route}, fallback serves stale answers, but there is no cache to keep any",
                "add a cache below it, or answer with `respond`",
            )


def _breakers(entries: Sequence[Entry], route: str) -> Iterator[Finding]:
    breaker, cache = _first(entries, "circuit_breaker"), _first(entries, "cache")
    if breaker is not None and cache is not None and breaker < cache:
        yield Finding.at(
            entries[breaker].place,
            f"on route {route}, circuit_breaker stands outside cache: "
            "while it is open, not even cached answers are served",
            "move cache above circuit_breaker",
            severity="warning",
        )


def _and(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"
