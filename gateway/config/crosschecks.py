"""What no single setting can tell: names that must exist elsewhere, routes that tie, what is never used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.config.certificates import check_certificates
from gateway.config.configuration import callers_of
from gateway.config.document import Document, Location
from gateway.config.encryption import Encryption
from gateway.config.findings import Finding, Place
from gateway.config.lists import Entry, PolicyLists, Resolved
from gateway.config.models import RouteConfig, RoutesFile
from gateway.config.orders import check_order
from gateway.config.paths import check_rewrite
from gateway.config.salvage import Broken
from gateway.config.trial import try_out
from gateway.config.trust import check_trust
from gateway.config.wallets import check_wallet, is_wallet_route, may_stand
from gateway.mistakes import Mistake, suggest

_NO_EFFECT = ("dialect", "mode", "accept", "accounts", "launch_hosts", "quota")


class CrossChecks:
    """Runs all of them over a file as far as it is right; entries that are not right count as there."""

    def __init__(
        self,
        document: Document,
        file: RoutesFile,
        broken: Broken,
        lists: PolicyLists,
        resolved: dict[int, Resolved],
        *,
        folder: Path,
    ) -> None:
        self.folder = folder
        self.document, self.file, self.broken = document, file, broken
        self.lists, self.resolved = lists, resolved
        self.findings: list[Finding] = []
        self.upstreams = {*file.upstreams, *broken.of("upstreams")}
        self.providers = {*file.providers, *broken.of("providers")}
        self.callers = {*file.consumers, *broken.of("consumers"), *self.providers}
        self.wallets: set[str] = set()
        """Routes that move money."""
        self.twins: set[str] = set()
        """Callers that could not be told apart."""
        self._names()
        self._references()
        self._rewrites()
        self._ties()
        self._policies()
        self._credentials()
        self._unused()
        self.findings += check_certificates(file, document, folder)
        self.findings += check_trust(file.server, document)
        self._audit()
        encryption = Encryption(file, document, self.entries)
        self.findings += encryption.check()
        self.notes = list(encryption.notes())
        self._without_effect()

    def _error(self, place: Place, message: str, mend: str) -> None:
        self.findings.append(Finding.at(place, message, mend))

    def _warn(self, place: Place, message: str, mend: str) -> None:
        self.findings.append(Finding.at(place, message, mend, severity="warning"))

    def _at(self, *location: str | int, key: bool = False) -> Place:
        return self.document.place(location, key=key)

    def routes(self, *keys: str) -> Iterator[tuple[int, RouteConfig]]:
        """The routes of which these keys are known."""
        for index, route in enumerate(self.file.routes):
            if self.broken.knows(index, *keys):
                yield index, route

    @property
    def entries(self) -> list[tuple[int, RouteConfig, tuple[Entry, ...]]]:
        """Index of each route whose policies, upstream and demands are known, itself, and its policies."""
        known = self.routes("policies", "upstream", "require_tls", "name")
        return [(index, route, self.resolved[index].entries) for index, route in known]

    def try_out(self) -> Iterator[Finding]:
        """What building the policies finds, as far as what they name is right in every part."""
        wrong = {*self.broken.of("consumers"), *self.broken.of("providers"), *self.twins}
        known = callers_of(self.file.consumers, self.file.providers)
        callers = {name: caller for name, caller in known.items() if name not in wrong}
        complete = not wrong and self.broken.sections.isdisjoint({"consumers", "providers"})
        used = [(route, self.resolved[index].entries) for index, route in self.routes("provider")]
        return try_out(used, callers, self.upstreams, complete=complete)

    def _name(self, index: int) -> str:
        """What to call a route in a sentence."""
        return self.file.routes[index].name if self.broken.knows(index, "name") else f"number {index + 1}"

    def _names(self) -> None:
        first: dict[str, int] = {}
        for index, route in self.routes("name"):
            if route.name in first:
                where = self._at("routes", first[route.name], "name")
                self._error(
                    self._at("routes", index, "name"),
                    f"two routes are called {route.name!r}, the other on line {where.line}",
                    "give each route a name of its own",
                )
            first.setdefault(route.name, index)
        for name in self.file.providers:
            if name in self.file.consumers:
                line = self._at("consumers", name, key=True).line
                self._error(
                    self._at("providers", name, key=True),
                    f"{name!r} is a provider here and a consumer on line {line}",
                    "callers need names of their own: rename one of them",
                )

    def _references(self) -> None:
        for index, route in self.routes("upstream"):
            self._known(route.upstream, self.upstreams, "upstream", ("routes", index, "upstream"))
        for index, route in self.routes("provider"):
            if route.provider is not None:
                self._known(route.provider, self.providers, "provider", ("routes", index, "provider"))
        for name, provider in self.file.providers.items():
            if provider.upstream is not None:
                self._known(provider.upstream, self.upstreams, "upstream", ("providers", name, "upstream"))

    def _rewrites(self) -> None:
        for index, route in self.routes("rewrite", "match"):
            if route.rewrite is not None:
                try:
                    check_rewrite(route.rewrite, route.match.path)
                except Mistake as mistake:
                    self._error(self._at("routes", index, "rewrite"), mistake.what, mistake.mend)

    def _known(self, name: str, known: Iterable[str], what: str, location: Location) -> None:
        known = list(known)
        if name not in known and f"{what}s" not in self.broken.sections:
            mend = suggest(name, known) if known else f"add it under {what}s"
            self._error(self.document.place(location), f"there is no {what} {name!r}", mend)

    def _ties(self) -> None:
        first: dict[tuple[str, str, str], int] = {}
        for index, route in self.routes("match"):
            match = route.match
            form = "/".join(":" if segment[:1] == ":" else segment for segment in match.path.split("/"))
            tied: dict[int, list[str]] = {}
            for method in sorted(match.methods):
                other = first.setdefault((match.host or "", form, method), index)
                if other != index:
                    tied.setdefault(other, []).append(method)
            for other, methods in tied.items():
                where = self._at("routes", other, "match", "path")
                self._error(
                    self._at("routes", index, "match", "path"),
                    f"route {self._name(index)} ties with route {self._name(other)} on line {where.line}: "
                    f"both take {', '.join(methods)} {match.path}",
                    "change one's path, methods or host, or remove it",
                )

    def _policies(self) -> None:
        judged: set[tuple[object, ...]] = set()
        for index, route in enumerate(self.file.routes):
            entries, complete = self.resolved[index]
            provider = route.provider is not None or not self.broken.knows(index, "provider")
            place, name = self._at("routes", index), self._name(index)
            placed = entries
            if is_wallet_route(route, entries, self.file.providers, self.providers):
                self.wallets.add(name)
                self.findings += check_wallet(entries, name, place, complete=complete)
                placed = tuple(filter(may_stand, entries))
            kind = (provider, complete, *map(id, placed))
            found = list(check_order(placed, name, place, provider=provider, complete=complete))
            if kind in judged:  # what is wrong with a list is said once; what is wrong with a route, of each
                self.findings += [one for one in found if one.place == place]
                continue
            judged.add(kind)
            self.findings += found
            for entry in entries:
                if entry.placed is not None:
                    self._entry(entry)

    def _entry(self, entry: Entry) -> None:
        if entry.name == "authentication":
            for index, name in enumerate(entry.settings.get("consumers") or ()):
                if name not in self.callers:
                    message = f"authentication names the unknown consumer {name!r}"
                    self._error(
                        entry.place_of("consumers", index), message, suggest(name, list(self.callers))
                    )
                elif self._lacks_credentials(name):
                    message = f"authentication names {name}, which has no credentials to prove itself with"
                    self._error(entry.place_of("consumers", index), message, f"give {name} credentials")
        upstream = entry.settings.get("upstream")
        if entry.name == "fallback" and upstream is not None and upstream not in self.upstreams:
            message = f"fallback names the unknown upstream {upstream!r}"
            self._error(entry.place_of("upstream"), message, suggest(upstream, list(self.upstreams)))

    def _lacks_credentials(self, name: str) -> bool:
        caller = self.file.consumers.get(name) or self.file.providers.get(name)
        wrong = name in self.broken.of("consumers") or name in self.broken.of("providers")
        return caller is not None and not wrong and not caller.credentials

    def _credentials(self) -> None:
        """Two callers with one key could not be told apart."""
        first: dict[str, tuple[str, str]] = {}
        for section, callers in (("consumers", self.file.consumers), ("providers", self.file.providers)):
            for name, caller in callers.items():
                for index, credential in enumerate(caller.credentials):
                    if credential.api_key is None:
                        continue
                    owner = first.setdefault(credential.api_key.get_secret_value(), (section, name))
                    if owner != (section, name):
                        self.twins |= {owner[1], name}
                        self._error(
                            self._at(section, name, "credentials", index),
                            f"{name} has the same API key as {owner[1]}: they could not be told apart",
                            "give each caller a key of its own",
                        )

    def _unused(self) -> None:
        used = {route.upstream for route in self.file.routes}
        used |= {
            provider.upstream for provider in self.file.providers.values() if provider.upstream is not None
        }
        used |= {
            str(entry.settings.get("upstream"))
            for entries, _ in self.resolved.values()
            for entry in entries
            if entry.name == "fallback"
        }
        if self.broken.any:
            return  # what they use is not known
        for name in self.file.upstreams:
            if name not in used:
                place = self._at("upstreams", name, key=True)
                self._warn(place, f"no route uses the upstream {name!r}", "use it, or remove it")
        if not self.file.routes:
            message = "there are no routes: every call is answered with 404"
            self._warn(self._at("routes", key=True), message, "add one under routes")

    def _audit(self) -> None:
        audit = self.file.audit
        if audit is not None and audit.head.path is None and audit.head.webhook is None:
            message = "audit.head names no place: that the end of the log was cut off would show nowhere"
            mend = "give audit.head a path on another disk, or a webhook"
            self._warn(self._at("audit", key=True), message, mend)
        if audit is not None and audit.head.path is not None:
            path = (self.folder / audit.head.path).resolve()
            log = (self.folder / self.file.server.state_dir / audit.directory).resolve()
            place, mend = self._at("audit", "head", "path"), "name a file elsewhere, best on another disk"
            if path.is_relative_to(log):
                self._error(place, "audit.head.path lies within the audit log itself", mend)
            elif path.is_dir() or not path.parent.is_dir():
                self._error(place, "audit.head.path is no file that can be written", mend)

    def _without_effect(self) -> None:
        for name, provider in self.file.providers.items():
            for key in _NO_EFFECT:
                if key in provider.model_fields_set:
                    self._warn(
                        self._at("providers", name, key, key=True),
                        f"providers.{name}.{key} is read but has no effect in this version",
                        "nothing to do: it is checked and kept for later versions",
                    )
        if "journal" in self.file.model_fields_set:
            self._warn(
                self._at("journal", key=True),
                "journal is read but has no effect in this version",
                "nothing to do: it is checked and kept for later versions",
            )
