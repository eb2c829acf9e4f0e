"""What a new configuration changes, in sentences. Secrets are never shown: they are said to change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.config.configuration import Config, PlacedPolicy
from gateway.observer.redaction import redact_target
from gateway.units import BareNumber, PrivateText

_MISSING = object()
_HIDDEN = re.compile(r"key[^.]*$|webhook$")
"""Settings that may hold a secret: a webhook's path is one, most often."""
_PRIVATE = (SecretStr, PrivateText)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]*@")


def diff(old: Config, new: Config) -> list[str]:
    """What differs in routes, policies, upstreams, callers and settings, a sentence each."""
    if old.fingerprint == new.fingerprint and old.path == new.path:
        return []
    return [
        *_routes(old, new),
        *_named("upstream", old.upstreams, new.upstreams),
        *_named("consumer", old.consumers, new.consumers),
        *_named("provider", old.providers, new.providers),
        *map(_when, _settings("server", old.server, new.server)),
        *_settings("telemetry", old.telemetry, new.telemetry),
        *_optional("audit", old.audit, new.audit),
        *(["state is kept elsewhere, from the next start on"] if old.state != new.state else []),
        *(["the journal is kept elsewhere"] if old.journal != new.journal else []),
    ]


_AT_START = ("server: host ", "server: tls")
"""What a reload cannot change: sockets and their TLS."""


def _when(change: str) -> str:
    return f"{change}, from the next start on" if change.startswith(_AT_START) else change


def _optional(subject: str, old: BaseModel | None, new: BaseModel | None) -> Iterator[str]:
    if old is None or new is None:
        if old is not new:
            yield f"{subject} is {'added' if old is None else 'removed'}"
    else:
        yield from _settings(subject, old, new)


def _routes(old: Config, new: Config) -> Iterator[str]:
    before = {route.name: route for route in old.routes}
    after = {route.name: route for route in new.routes}
    for name, route in before.items():
        if name not in after:
            yield f"route {name} is removed: {_what(route.match)} to {route.upstream}"
    for name, route in after.items():
        if name not in before:
            policies = ", ".join(policy.config.name for policy in new.policies[name]) or "no policies"
            yield f"route {name} is added: {_what(route.match)} to {route.upstream}, with {policies}"
            continue
        yield from _settings(f"route {name}", before[name], route, skip=frozenset({"policies"}))
        yield from _policies(f"route {name}", old.policies[name], new.policies[name])


def _what(match: Any) -> str:
    return f"{' '.join(sorted(match.methods))} {match.host or ''}{match.path}"


def _policies(subject: str, old: tuple[PlacedPolicy, ...], new: tuple[PlacedPolicy, ...]) -> Iterator[str]:
    before, after = _numbered(old), _numbered(new)
    for label, policy in before.items():
        if label not in after:
            yield f"{subject}: policy {label} is removed ({policy.config.describe()})"
    for label, policy in after.items():
        if label not in before:
            yield f"{subject}: policy {label} is added ({policy.config.describe()})"
        else:
            yield from _settings(f"{subject}: policy {label}", before[label].config, policy.config)
    stayed = [label for label in before if label in after]
    if stayed != [label for label in after if label in before]:
        yield f"{subject}: the order of policies becomes {', '.join(after)}"


def _numbered(policies: tuple[PlacedPolicy, ...]) -> dict[str, PlacedPolicy]:
    """Each policy under its name; the second of a name as `rate_limit (2)`."""
    numbered: dict[str, PlacedPolicy] = {}
    for policy in policies:
        label, count = policy.config.name, 1
        while label in numbered:
            count += 1
            label = f"{policy.config.name} ({count})"
        numbered[label] = policy
    return numbered


def _named(kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel]) -> Iterator[str]:
    for name in old:
        if name not in new:
            yield f"{kind} {name} is removed"
    for name, settings in new.items():
        if name not in old:
            yield f"{kind} {name} is added"
        else:
            yield from _settings(f"{kind} {name}", old[name], settings)


def _settings(
    subject: str, old: BaseModel, new: BaseModel, skip: frozenset[str] = frozenset()
) -> Iterator[str]:
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for path in dict.fromkeys([*before, *after]):
        was, now = before.get(path, _MISSING), after.get(path, _MISSING)
        if path.partition(".")[0].partition("[")[0] in skip or was == now:
            continue
        if isinstance(was, _PRIVATE) or isinstance(now, _PRIVATE) or _HIDDEN.search(path):
            nothing = (_MISSING, None)
            how = "added" if was in nothing else "removed" if now in nothing else "changed"
            yield f"{subject}: {path} is {how}"
        elif was is _MISSING or was is None:
            yield f"{subject}: {path} is now {_text(now)}"
        elif now is _MISSING or now is None:
            yield f"{subject}: {path} is no longer {_text(was)}"
        else:
            yield f"{subject}: {path} changes from {_text(was)} to {_text(now)}"


def _leaves(value: Any, path: str = "", written: Any = None) -> Iterator[tuple[str, Any]]:
    """Every setting with its path, in the form it is written in YAML."""
    if isinstance(value, BaseModel):
        json_form = value.model_dump(mode="json", by_alias=True)
        for name, field in type(value).model_fields.items():
            label = field.alias or name
            inner = getattr(value, name)
            yield from _leaves(inner, f"{path}.{label}" if path else label, json_form.get(label))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            form = written.get(str(key)) if isinstance(written, Mapping) else None
            yield from _leaves(inner, f"{path}.{key}" if path else str(key), form)
    elif isinstance(value, (tuple, list)) and any(isinstance(item, BaseModel | SecretStr) for item in value):
        for index, inner in enumerate(value):
            form = written[index] if isinstance(written, list) and index < len(written) else None
            yield from _leaves(inner, f"{path}[{index + 1}]", form)
    elif isinstance(value, _PRIVATE) or value is None:
        yield path, value
    else:
        form = value if written is None else written
        yield path, sorted(map(str, form)) if isinstance(value, (frozenset, set)) else form


def _text(value: Any) -> str:
    if isinstance(value, BareNumber | float):
        return f"{value:g}"
    if isinstance(value, str):
        return redact_target(_USER_INFO.sub("…@", value)) if "/" in value else value
    return json.dumps(value, default=str, ensure_ascii=False)
