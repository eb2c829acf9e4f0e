"""From files to a `Config`, or to everything that is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.configuration import Config
from gateway.config.crosschecks import CrossChecks
from gateway.config.document import Document
from gateway.config.findings import ConfigError, Finding, Place, show
from gateway.config.lists import Entry, PolicyLists
from gateway.config.models import RoutesFile
from gateway.config.shapes import Shape, secret_names
from gateway.config.translate import translate
from gateway.policies import POLICIES


def load(path: Path | str, environ: Mapping[str, str]) -> Config:
    """Read `routes.yaml` and the policy lists beside it. Raises `ConfigError` with all findings at once."""
    config, findings = _read(Path(path), environ)
    if config is None:
        raise ConfigError(findings)
    return config


def check(path: Path | str, environ: Mapping[str, str]) -> list[Finding]:
    """All errors and warnings, sorted by place. Without an error among them, `load` succeeds."""
    return _read(Path(path), environ)[1]


def _read(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    name = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        mend = "say where it is with --config" if not path.exists() else "mend its permissions"
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

    file, broken = _validate(document, findings)
    label = name[: len(name) - len(path.name)] + "policies/"
    lists = PolicyLists(path.parent / "policies", label, environ, path.parent)
    resolved = _resolve(file, document, lists)
    lists.read_all()
    checks = CrossChecks(document, file, broken, lists, resolved)
    documents = [document, *lists.documents]
    findings += lists.findings + checks.findings
    for read in lists.documents:
        findings += read.findings
    shown = _shown(findings, documents)
    if any(finding.severity == "error" for finding in findings):
        return None, shown

    entries = {file.routes[index].name: found for index, found in resolved.items() if found is not None}
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
        fingerprint=_fingerprint(document, lists),
        files=tuple(dict.fromkeys([path, *document.files, *lists.files])),
        warnings=tuple(shown),
    )
    return config, shown


def _validate(document: Document, findings: list[Finding]) -> tuple[RoutesFile, dict[str, set[str]]]:
    """The file as far as it is right, and per section the names of the entries that are not."""
    data = document.value
    broken: dict[str, set[str]] = {"consumers": set(), "providers": set(), "upstreams": set(), "routes": set()}
    try:
        return RoutesFile.model_validate(data), broken
    except ValidationError as error:
        findings += translate(error, document, (), Shape.of(RoutesFile))
        details = error.errors(include_url=False, include_context=False)
    rest: dict[str, Any] = {**data, "version": 1}
    dropped: dict[str, set[str | int]] = {}
    for item in details:
        section, *inner = item["loc"] or ("",)
        if section in broken and inner and isinstance(rest.get(str(section)), dict | list):
            dropped.setdefault(str(section), set()).add(inner[0])
        else:
            rest.pop(str(section), None)
    for section, keys in dropped.items():
        value = rest.get(section)
        if isinstance(value, dict):
            broken[section] |= {str(key) for key in keys}
            rest[section] = {name: entry for name, entry in value.items() if name not in broken[section]}
        elif isinstance(value, list):
            # A placeholder keeps the indices, hence the places, of the routes behind it.
            rest[section] = [
                {"name": f"{_BROKEN}{index}", "match": {"methods": ["GET"], "path": f"/{_BROKEN}{index}"}, "upstream": _BROKEN}
                if index in keys
                else entry
                for index, entry in enumerate(value)
            ]
            for index in keys:
                entry = value[index] if isinstance(index, int) else None
                if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                    broken[section].add(entry["name"])
    rest["version"] = 1
    return RoutesFile.model_validate(rest), broken


_BROKEN = "broken-"


def _resolve(file: RoutesFile, document: Document, lists: PolicyLists) -> dict[int, tuple[Entry, ...] | None]:
    """Index of each route → its policies. Routes with the same bare names share one result."""
    shared: dict[tuple[str, ...], tuple[Entry, ...] | None] = {}
    resolved: dict[int, tuple[Entry, ...] | None] = {}
    for index, route in enumerate(file.routes):
        items = route.policies
        location = ("routes", index, "policies")
        if all(isinstance(item, str) for item in items):
            key = tuple(items)
            if key not in shared or shared[key] is None:
                shared[key] = lists.resolve(items, document, location)
            resolved[index] = shared[key]
        else:
            resolved[index] = lists.resolve(items, document, location)
    return resolved


def _fingerprint(document: Document, lists: PolicyLists) -> str:
    said = {read.name: read.value for read in [document, *lists.documents]}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _shown(findings: list[Finding], documents: list[Document]) -> list[Finding]:
    secrets = secret_names([RoutesFile, *POLICIES.values()]) if findings else frozenset()
    return show(findings, {document.name: document.text.splitlines() for document in documents}, secrets)
