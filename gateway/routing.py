"""Which route takes a request: host → path → method, at a cost that does not grow with the number of routes.

Of the routes whose host, path and method all fit, the most specific wins: one with a host before one
without, then segment by segment from the left an exact one before `:name` before a final `/*`. Where
some fit but for the method, the answer is 405 with all their methods. GET routes answer HEAD, unless
a route as specific takes HEAD itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gateway.errors import Refused
from gateway.policy import Forward, PolicyConfig
from gateway.record import NO_ROUTE

if TYPE_CHECKING:
    from gateway.config import Config

Params = dict[str, str]
"""What `:name` and `*` of a path stood for, percent-encoded as in the path."""

_SUSPECT = re.compile(r"//|/\.|%2[EeFf]|%5[Cc]|%00|\\")
_TRAVERSAL = re.compile(r"//|/(?:\.|%2[Ee]){1,2}(?:/|$)|%2[Ff]|%5[Cc]|%00|\\")


class Route:
    """Which requests go to which upstream, under which policies; everything precomputed."""

    __slots__ = (
        "_rewrite", "audited", "body_limit", "entry", "forward", "host", "marks", "methods", "name", "names",
        "path", "policies", "provider", "redirect", "require_tls", "rewrite", "stream", "upstream", "where",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        methods: Iterable[str],
        path: str,
        *,
        host: str = "",
        upstream: str = "",
        provider: str = "",
        rewrite: str | None = None,
        body_limit: int = 1024 * 1024,
        require_tls: bool = False,
        redirect: bool = False,
        stream: bool = False,
        policies: Sequence[PolicyConfig] = (),
        marks: Sequence[str] = (),
        where: str = "",
    ) -> None:
        self.name = name
        methods = frozenset(methods)
        self.methods = methods | {"HEAD"} if "GET" in methods else methods
        """Those it answers: HEAD with GET."""
        self.path = path
        segments = path.split("/")
        self.names = tuple(part.removeprefix(":") for part in segments if part[:1] == ":" or part == "*")
        """Of the parameters its path yields, in order; `*` for the rest."""
        self.host = host
        """Lower case; empty for any."""
        self.upstream = upstream
        self.provider = provider
        """Empty for none."""
        self.rewrite = rewrite
        self.body_limit = body_limit
        """Bytes."""
        self.require_tls = require_tls
        self.redirect = redirect
        """Where it requires TLS: GET and HEAD over plain HTTP are sent on to HTTPS."""
        self.stream = stream
        self.policies = tuple(policies)
        """Outermost first, those that are off included."""
        self.marks = tuple(marks)
        """Where each policy stands, `policies/metadata.yaml:3`."""
        self.where = where
        """Where the route stands, `routes.yaml:12`."""
        self.forward: Forward | None = None
        """The chain, once it is built."""
        self.audited = False
        """Its answers leave only when the audit log has them."""
        self.entry = NO_ROUTE
        """What all records of its calls have in common, once the chain is built."""
        self._rewrite = None if rewrite is None else _compile(rewrite)

    def target(self, path: str, params: Mapping[str, str], query: str) -> str:
        """Path and query as forwarded. Raises `Refused` where a rewrite would lead out of its path."""
        if self._rewrite is not None:
            if isinstance(self._rewrite, str):
                path = self._rewrite
            else:
                path = "".join(params[part[1:]] if part[:1] == "\0" else part for part in self._rewrite)
                # Pieces of the edge's canonical paths are canonical too: this holds should one not be.
                if _SUSPECT.search(path) is not None and _TRAVERSAL.search(path) is not None:
                    raise Refused("BAD_REQUEST", "the path has no canonical form once it is rewritten")
        return f"{path}?{query}" if query else path

    def __repr__(self) -> str:
        return (
            f"<Route {self.name}: {' '.join(sorted(self.methods))} {self.host}{self.path} → {self.upstream}>"
        )


def _compile(rewrite: str) -> str | tuple[str, ...]:
    """Constant text, or its pieces; a parameter's name stands behind a NUL, which no path holds."""
    segments = rewrite.split("/")
    parts: list[str] = []
    text = ""
    for index, segment in enumerate(segments):
        text += "/" if index else ""
        if segment[:1] == ":" or segment == "*":
            parts += [text, "\0" + segment.removeprefix(":")]
            text = ""
        else:
            text += segment
    if not parts:
        return text
    return tuple(part for part in [*parts, text] if part)


class _Node:
    """What may follow a prefix of segments."""

    __slots__ = ("exact", "here", "name", "rest")

    def __init__(self) -> None:
        self.exact: dict[str, _Node] = {}
        self.name: _Node | None = None
        self.here: dict[str, Route] = {}
        """Method → route, for paths that end here."""
        self.rest: dict[str, Route] = {}
        """Method → route, for paths that go on in any way."""


class Router:
    """Finds routes; `find` is called once per request."""

    __slots__ = ("_hosts", "routes")

    def __init__(self, config: Config | None = None, routes: Iterable[Route] = ()) -> None:
        self.routes: list[Route] = list(routes) if config is None else [*_routes(config), *routes]
        self._hosts: dict[str, tuple[dict[str, dict[str, Route]], _Node]] = {"": ({}, _Node())}
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        paths, node = self._hosts.setdefault(route.host, ({}, _Node()))
        segments = route.path.split("/")[1:]
        if segments[-1] != "*" and not any(segment[:1] == ":" for segment in segments):
            _enter(paths.setdefault(route.path, {}), route)
            return
        for segment in segments:
            if segment == "*":
                _enter(node.rest, route)
                return
            if segment[:1] == ":":
                node.name = node.name or _Node()
                node = node.name
            else:
                node = node.exact.setdefault(segment, _Node())
        _enter(node.here, route)

    def find(self, method: str, path: str, authority: str) -> tuple[Route, Params]:
        """The route and what its `:name`s stand for. Raises `Refused`: ROUTE_NOT_FOUND or METHOD_NOT_ALLOWED.

        `path` is canonical; `authority` is the Host asked for, its port and case do not matter.
        """
        hosts = self._hosts
        if len(hosts) > 1:
            own = hosts.get(_host(authority))
            if own is not None:
                found = _find(own, method, path)
                if found is not None:
                    return found
        found = _find(hosts[""], method, path)
        if found is not None:
            return found
        allowed = sorted({name for route in self._fitting(path, authority) for name in route.methods})
        if allowed:
            raise Refused(
                "METHOD_NOT_ALLOWED",
                f"this path takes {', '.join(allowed)}",
                headers=((b"allow", ", ".join(allowed).encode()),),
            )
        raise Refused("ROUTE_NOT_FOUND", "no route takes this path")  # it may hold a secret

    def _fitting(self, path: str, authority: str) -> list[Route]:
        """Routes whose host and path fit, most specific first; only for errors and explanations."""
        segments = path.split("/")[1:]
        fitting: list[Route] = []
        for host in dict.fromkeys((_host(authority), "")):
            if host in self._hosts:
                paths, node = self._hosts[host]
                fitting += paths.get(path, {}).values()
                _collect(node, segments, 0, fitting)
        return list(dict.fromkeys(fitting))

    def why(self, method: str, path: str, authority: str) -> list[str]:
        """Why `find` decides as it does: each candidate in a sentence, the winner first."""
        try:
            winner, params = self.find(method, path, authority)
        except Refused:
            winner, params = None, {}
        lines: list[str] = []
        for route in self._fitting(path, authority):
            what = f"{' '.join(sorted(route.methods))} {route.host}{route.path}"
            if route is winner:
                stands = "".join(f", :{name} is {value}" for name, value in params.items() if name != "*")
                stands += f", * is {params['*']}" if "*" in params else ""
                lines.insert(
                    0,
                    f"route {route.name} ({what}, {route.where}) wins: the most specific that fits{stands}",
                )
            elif method not in route.methods:
                lines.append(
                    f"route {route.name} ({what}, {route.where}) fits the path, but does not take {method}"
                )
            else:
                lines.append(f"route {route.name} ({what}, {route.where}) fits too, but is less specific")
        return lines or [f"no route's path fits {path}", *self._nearest(path)]

    def _nearest(self, path: str) -> Iterator[str]:
        """The route whose path looks most like `path`, for whoever mistyped it."""
        paths = {route.path: route for route in reversed(self.routes)}
        for likely in get_close_matches(path, paths, 1):
            route = paths[likely]
            yield f"the nearest is route {route.name} ({route.host}{route.path}, {route.where})"

    def __repr__(self) -> str:
        return f"<Router of {len(self.routes)} routes, {len(self._hosts) - 1} hosts>"


def _enter(table: dict[str, Route], route: Route) -> None:
    for method in route.methods:
        if method == "HEAD" and "HEAD" in table and "GET" in route.methods:
            continue  # a route that takes HEAD itself goes before one that only answers it with GET
        table[method] = route


def _host(authority: str) -> str:
    host = authority.lower()
    if host.endswith("]"):
        return host
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).rstrip(".")


def _find(
    tables: tuple[dict[str, dict[str, Route]], _Node], method: str, path: str
) -> tuple[Route, Params] | None:
    paths, node = tables
    found = paths.get(path)
    if found is not None:
        route = found.get(method)
        if route is not None:
            return route, {}
    return _descend(node, path.split("/"), 1, method, [])


def _descend(
    node: _Node, segments: list[str], index: int, method: str, values: list[str]
) -> tuple[Route, Params] | None:
    """The most specific route below `node`: exact before `:name` before `/*`, back where a branch ends."""
    if index == len(segments):
        route = node.here.get(method)
        return None if route is None else (route, dict(zip(route.names, values, strict=True)))
    segment = segments[index]
    child = node.exact.get(segment)
    if child is not None:
        found = _descend(child, segments, index + 1, method, values)
        if found is not None:
            return found
    if node.name is not None and segment:
        found = _descend(node.name, segments, index + 1, method, [*values, segment])
        if found is not None:
            return found
    route = node.rest.get(method)
    if route is None:
        return None
    values.append("/".join(segments[index:]))
    return route, dict(zip(route.names, values, strict=True))


def _collect(node: _Node, segments: list[str], index: int, fitting: list[Route]) -> None:
    if index == len(segments):
        fitting += node.here.values()
        return
    segment = segments[index]
    if segment in node.exact:
        _collect(node.exact[segment], segments, index + 1, fitting)
    if node.name is not None and segment:
        _collect(node.name, segments, index + 1, fitting)
    fitting += node.rest.values()


def _routes(config: Config) -> Iterable[Route]:
    for route in config.routes:
        placed = config.policies[route.name]
        yield Route(
            route.name,
            route.match.methods,
            route.match.path,
            host=route.match.host or "",
            upstream=route.upstream,
            provider=route.provider or "",
            rewrite=route.rewrite,
            body_limit=config.server.limits.body if route.limits.body is None else route.limits.body,
            require_tls=bool(route.require_tls),
            redirect=route.require_tls == "redirect",
            stream=route.stream,
            policies=[policy.config for policy in placed],
            marks=[policy.where for policy in placed],
            where=config.places[route.name],
        )
