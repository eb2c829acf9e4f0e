"""From files to a `Config`, or to everything that is wrong with them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.config.configuration import Config
from gateway.config.crosschecks import CrossChecks
from gateway.config.document import Document
from gateway.config.findings import ConfigError, Finding, Place, show
from gateway.config.lists import Entry, PolicyLists, Resolved
from gateway.config.models import RoutesFile
from gateway.config.salvage import Broken, salvage
from gateway.config.shapes import Shape, secret_names, secret_values
from gateway.files import read_file
from gateway.observer.redaction import is_secret
from gateway.policies import POLICIES


def load(path: Path | str, environ: Mapping[str, str]) -> Config:
    """Read `routes.yaml` and the policy lists beside it. Raises `ConfigError` with all findings at once."""
    config, findings = examine(Path(path), environ)
    if config is None:
        raise ConfigError(findings)
    return config


def check(path: Path | str, environ: Mapping[str, str]) -> list[Finding]:
    """All errors and warnings, sorted by place. Without an error among them, `load` succeeds."""
    return examine(Path(path), environ)[1]


def examine(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    """The configuration, None where there are errors, and all errors and warnings."""
    name = str(path)
    try:
        data = read_file(path)
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        mend = "mend its permissions"
        if not path.exists():
            mend = "say where it is with --config"
        elif path.is_dir():
            mend = f"name the file in it, like {path / 'routes.yaml'}"
        return None, [Finding.at(Place(name, 1, 1), f"the file cannot be read: {reason}", mend)]
    document = Document(name, data, environ, path.parent)
    findings = list(document.findings)
    if not document.readable:
        return None, _shown(findings, [document])
    if not isinstance(document.value, dict):
        kind = "empty" if document.value is None else "not a mapping"
        mend = "begin it with `version: 1`, then upstreams and routes"
        findings.append(Finding.at(document.place(), f"the file is {kind}", mend))
        return None, _shown(findings, [document])

    file, broken = salvage(document, findings, context={"folder": path.parent})
    label = name[: len(name) - len(path.name)] + "policies/"
    lists = PolicyLists(path.parent / "policies", label, environ, path.parent)
    resolved = _resolve(file, broken, document, lists)
    lists.read_all(complete="routes" not in broken.sections)
    checks = CrossChecks(document, file, broken, lists, resolved, folder=path.parent)
    documents = [document, *lists.documents]
    findings += lists.findings + checks.findings
    findings += checks.try_out()
    for read in lists.documents:
        findings += read.findings
    shown = _shown(findings, documents)
    if any(finding.severity == "error" for finding in findings):
        return None, shown

    entries = {file.routes[index].name: found.entries for index, found in resolved.items()}
    outward = _outward(file, entries.values())
    config = Config(
        path=path,
        consumers=file.consumers,
        providers=file.providers,
        upstreams=file.upstreams,
        routes=file.routes,
        policies={
            route: tuple(entry.placed for entry in found if entry.placed is not None)
            for route, found in entries.items()
        },
        places={
            route.name: f"{path.name}:{document.place(('routes', index)).line}"
            for index, route in enumerate(file.routes)
        },
        server=file.server,
        telemetry=file.telemetry,
        state=file.state,
        journal=file.journal,
        audit=file.audit,
        wallets=frozenset(checks.wallets),
        fingerprint=_fingerprint(document, lists, outward),
        files=tuple(dict.fromkeys([path, *document.files, *lists.files, *_own(file, path.parent), *outward])),
        warnings=tuple(shown),
        notes=tuple(_shown(checks.notes, documents)),
    )
    return config, shown


def _resolve(file: RoutesFile, broken: Broken, document: Document, lists: PolicyLists) -> dict[int, Resolved]:
    """Index of each route → its policies. Routes with the same bare names share one result."""
    shared: dict[tuple[str, ...], Resolved] = {}
    resolved: dict[int, Resolved] = {}
    for index, route in enumerate(file.routes):
        items: Sequence[Any] = route.policies
        location = ("routes", index, "policies")
        if not broken.knows(index, "policies"):
            raw = document.value["routes"][index]
            written = raw.get("policies") if isinstance(raw, dict) else None
            items = written if isinstance(written, list) else ()
            resolved[index] = Resolved(lists.resolve(items, document, location).entries, complete=False)
            continue
        if all(isinstance(item, str) for item in items):
            key = tuple(items)
            if key not in shared or not shared[key].complete:  # what is wrong is said of each route
                shared[key] = lists.resolve(items, document, location)
            resolved[index] = shared[key]
        else:
            resolved[index] = lists.resolve(items, document, location)
    return resolved


def _own(file: RoutesFile, folder: Path) -> list[Path]:
    """The files of `server.tls`."""
    tls = file.server.tls
    return [] if tls is None else [folder / name for name in tls.files.values()]


def _outward(file: RoutesFile, routes: Iterable[tuple[Entry, ...]]) -> list[Path]:
    """Files with certificates and keys for the way out: of upstreams, and of policies."""
    names = [name for upstream in file.upstreams.values() for name in upstream.tls.files]
    for entries in routes:
        for entry in entries:
            names += entry.placed.config.files() if entry.placed is not None else ()
    return [Path(name) for name in dict.fromkeys(names)]


def _fingerprint(document: Document, lists: PolicyLists, outward: list[Path]) -> str:
    said = {read.name: read.value for read in [document, *lists.documents]}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for path in outward:
        with contextlib.suppress(OSError):  # gone since it was looked at: whoever builds with it will say so
            digest.update(hashlib.sha256(read_file(path)).digest())
    return digest.hexdigest()


def _shown(findings: list[Finding], documents: list[Document]) -> list[Finding]:
    if not findings:
        return []
    names = secret_names([RoutesFile, *POLICIES.values()])
    sources = {document.name: document.text.splitlines() for document in documents}
    return show(findings, sources, names, _secrets(documents))


def _secrets(documents: list[Document]) -> Iterator[str]:
    """Secrets as they stand in the files, as far as those are right enough to tell."""
    top = Shape.of(RoutesFile)
    policies = {name: Shape.of(config) for name, config in POLICIES.items()}
    for document in documents:
        lists = [document.value]
        if isinstance(document.value, dict):
            for section in ("consumers", "providers", "server", "telemetry", "audit"):
                yield from secret_values(document.value.get(section), top.child(section))
            routes = document.value.get("routes")
            routes = routes if isinstance(routes, list) else []
            lists = [route.get("policies") for route in routes if isinstance(route, dict)]
        for entries in lists:
            for entry in entries if isinstance(entries, list) else ():
                for name, settings in entry.items() if isinstance(entry, dict) else ():
                    if name in policies:
                        yield from secret_values(settings, policies[name])
                    if name == "headers":
                        yield from _secret_headers(settings)


def _secret_headers(settings: Any) -> Iterator[str]:
    """What `headers` sets, where the header's name tells of a secret: most others are none."""
    for edits in settings.values() if isinstance(settings, dict) else ():
        for verb in ("set", "add"):
            values = edits.get(verb) if isinstance(edits, dict) else None
            for name, value in values.items() if isinstance(values, dict) else ():
                if isinstance(value, str) and (is_secret(name) or name.lower() in ("cookie", "set-cookie")):
                    yield value
