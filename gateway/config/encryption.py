"""Which routes run without encryption, on which side; and rules about it that can have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.config.document import Document
from gateway.config.findings import Finding
from gateway.config.lists import Entry
from gateway.config.models import RouteConfig, RoutesFile


class Encryption:
    """Looks at a file as far as it is right."""

    def __init__(
        self,
        file: RoutesFile,
        document: Document,
        routes: Iterable[tuple[int, RouteConfig, tuple[Entry, ...]]],
    ) -> None:
        """`routes`: index of each route, itself, and its policies."""
        self._file, self._document = file, document
        self._routes = list(routes)

    def check(self) -> Iterator[Finding]:
        """Warnings: upstreams reached over plain HTTP, and what is said about TLS to no effect."""
        yield from self._upstreams()
        yield from self._redirects()
        yield from self._effects()

    def notes(self) -> Iterator[Finding]:
        """One, where there is any: the routes that callers may reach over plain HTTP."""
        server = self._file.server
        if server.tls is not None and server.tls.plain_port is None:
            return
        plain = tuple(route.name for _, route, _ in self._routes if not route.require_tls)
        if not plain:
            return
        if server.tls is not None:
            where, mend = "on server.tls.plain_port", "say require_tls on them, true or redirect"
        else:
            where = "for there is no server.tls"
            mend = "give server.tls, or say require_tls where a proxy in front ends TLS"
        if server.tls is None and is_local(server.host) and not server.trusted_proxies:
            where += f"; only from this machine, unless serve says another --host than {server.host}"
        yield Finding.at(
            self._document.place(("routes",), key=True),
            f"callers reach {_listed(plain, len(self._file.routes))} over plain HTTP, {where}",
            mend,
            severity="note",
            routes=plain,
        )

    def _upstreams(self) -> Iterator[Finding]:
        for name, upstream in self._file.upstreams.items():
            users = self._users(name)
            by = f", by {_listed(users, len(self._file.routes))}" if users else ""
            for index, target in enumerate(upstream.targets):
                parts = urlsplit(target.url)
                if parts.scheme == "http" and not is_local(parts.hostname or ""):
                    location = ("upstreams", name, "targets", index, "url")
                    shown = target.origin if self._document.reference(location) is None else "the target"
                    yield Finding.at(
                        self._document.place(location),
                        f"upstream {name} is reached over plain HTTP: {shown}{by}",
                        "use https, unless the network in between is yours",
                        severity="warning",
                        routes=users,
                    )

    def _users(self, upstream: str) -> tuple[str, ...]:
        """The routes whose calls go there, or may as a fallback."""
        return tuple(
            route.name
            for _, route, entries in self._routes
            if route.upstream == upstream
            or any(e.name == "fallback" and e.settings.get("upstream") == upstream for e in entries)
        )

    def _redirects(self) -> Iterator[Finding]:
        for index, route, entries in self._routes:
            gated = any(entry.name == "authentication" and entry.mode != "off" for entry in entries)
            if route.require_tls == "redirect" and gated:
                yield Finding.at(
                    self._document.place(("routes", index, "require_tls")),
                    f"route {route.name} redirects plain HTTP, and takes credentials: "
                    "who sends them in the clear would never notice",
                    "say require_tls: true",
                    severity="warning",
                )

    def _effects(self) -> Iterator[Finding]:
        server = self._file.server
        demanding = [(index, route.name) for index, route, _ in self._routes if route.require_tls]
        complete = 0 < len(self._routes) == len(self._file.routes)
        if server.hsts is not None and not demanding and complete:
            yield Finding.at(
                self._document.place(("server", "hsts"), key=True),
                "server.hsts has no effect: no route says require_tls",
                "say require_tls on the routes that browsers call",
                severity="warning",
            )
        if server.tls is None and not server.trusted_proxies and demanding:
            index, _ = demanding[0]
            names = tuple(name for _, name in demanding)
            yield Finding.at(
                self._document.place(("routes", index, "require_tls")),
                f"{_listed(names, len(self._file.routes))} cannot be called: HTTPS is required, "
                "and neither server.tls nor a trusted proxy brings it",
                "give server.tls, or list the proxy that ends TLS in server.trusted_proxies",
                severity="warning",
                routes=names,
            )


def is_local(host: str) -> bool:
    """Does it name this machine itself?"""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listed(names: tuple[str, ...], of: int) -> str:
    """`route a`, `routes a and b`, `all 5 routes`."""
    if len(names) == 1:
        return f"route {names[0]}"
    if len(names) == of:
        return f"all {of} routes"
    return f"routes {', '.join(names[:-1])} and {names[-1]}"
