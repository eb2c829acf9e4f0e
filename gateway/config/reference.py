"""docs/configuration.md, written from the models: every key, what it takes, its default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from gateway.config.models import RoutesFile
from gateway.config.shapes import as_written

_UNITS = {
    "500ms": "duration",
    "64KiB": "size",
    "20%": "percentage",
    "100/second": "rate",
    "10.0.0.0/8": "network",
}
"""First example of a value with a unit → what it is called."""

_INTRODUCTION = """# Configuration

`routes.yaml` says which requests go where, under which policies; the files in `policies/` beside it hold
named policy lists. `gateway check` finds every mistake at once, each with `file:line:column` and how to
mend it; `gateway schema` prints a JSON Schema that completes the file in editors.

This page is written from the models: `python -m gateway.config.reference > docs/configuration.md`.

## How values are written

- A **duration** is a number and `ms`, `s`, `m`, `h` or `d`: `500ms`, `5s`. A **size** is a whole number and
  `B`, `KiB`, `MiB` or `GiB`: `64KiB`. A **percentage** ends with `%`, a **rate** is calls per period:
  `100/second`, `5/10minute`, `1000/hour`, `1/day`. A **network** is `10.0.0.0/8`, `2001:db8::/32` or one
  address. A bare number is refused wherever a unit is due: its unit would be a guess.
- Any single value may be `{env: NAME}`, `{env: NAME, default: value}` or `{file: PATH}`. They are resolved
  after the file was parsed, so whatever a variable holds stays plain text; a file loses its final line
  break. Paths are relative to the folder of `routes.yaml`. Hence no mapping of your own can have `env`, or
  `file` alone, as its keys.
- A **secret** is never shown, in no error, log, trace or page. Keep it out of the file with `{env: …}` or
  `{file: …}`; [Secrets](secrets.md) tells how it is rotated.
- YAML is read strictly, and as version 1.2 has it: `off` and `yes` are text, `010` is ten. Duplicate keys,
  anchors' aliases, merge keys and tags are errors. Keys are always text.

## Routes

Paths match exactly, by `:name` for one segment that is not empty, or by a final `/*` for all that follows,
which may be nothing. Of the routes whose host, path and method all fit, the most specific wins: one with a
host before one without, then segment by segment from the left an exact one before `:name` before `/*`. Two
routes that tie are an error. GET routes answer HEAD too, unless a route with the same path takes HEAD
itself. Where routes fit but for the method, the answer is 405 with `Allow`.

In `policies`, a bare name is a list in `policies/`, and a mapping is one inline policy; `{cache: {}}` takes
its defaults. Lists hold policies, not other lists, and may not bear a policy's name. The first policy is
the outermost. What is dangerous is refused: a cache, a retry or a fallback outside of authentication, rules
about the consumer where none is known yet, anything but `upstream_auth` and `headers` inside of
`error_codes`, a fallback inside of what it would blind. `circuit_breaker` and `retry` may stand either way
round: outside, the breaker counts calls; inside, it counts attempts.
"""


def reference() -> str:
    """The whole page, Markdown."""
    schema = RoutesFile.model_json_schema(by_alias=True)
    return "\n".join([_INTRODUCTION, *_section("", schema, schema["$defs"], {})]) + "\n"


def fields(model: type[BaseModel]) -> str:
    """The tables of one model's settings, Markdown; that of the model itself has no heading."""
    schema = model.model_json_schema(by_alias=True)
    written = "\n".join(_section("", schema, schema.get("$defs", {}), {}))
    return "| key " + written.partition("| key ")[2].replace("\n## ", "\n### ").rstrip() + "\n"


def _section(path: str, schema: dict[str, Any], defs: dict[str, Any], seen: dict[int, str]) -> Iterator[str]:
    """A table of the keys at `path`, then one for each mapping below; `seen` holds those already written."""
    yield f"## {'`' + path + '`' if path else 'Top level'}"
    yield ""
    if id(schema) in seen:
        yield from (f"As `{seen[id(schema)]}`.", "")
        return
    seen[id(schema)] = path
    yield from (str(schema.get("description", "")).split("\n\n")[0], "")
    if not schema.get("properties"):
        yield from ("Nothing to set: `{}`.", "")
        return
    yield "| key | takes | default | meaning |"
    yield "|---|---|---|---|"
    below: list[tuple[str, dict[str, Any]]] = []
    for key, field in schema.get("properties", {}).items():
        needed = key in schema.get("required", ())
        default = "needed" if needed else _default(field)
        inner = _mapping(field, defs)
        told = field.get("description") or (inner[1].get("description", "") if inner else "")
        meaning = " ".join(str(told).split("\n\n")[0].split())
        yield f"| `{key}` | {_takes(field, defs)} | {default} | {meaning} |"
        if inner is not None:
            below.append((f"{path}.{key}{inner[0]}".removeprefix("."), inner[1]))
    yield ""
    for name, inner_schema in below:
        yield from _section(name, inner_schema, defs, seen)


def _resolve(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = defs[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _mapping(schema: dict[str, Any], defs: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The mapping with fixed keys that a key leads to, and what stands in between: `.NAME`, `[]`."""
    schema = _resolve(schema, defs)
    if "properties" in schema:
        return "", schema
    for option in schema.get("anyOf", ()):
        inner = _mapping(option, defs)
        if inner is not None:
            return inner
    for step, inside in ((".NAME", _values(schema)), ("[]", schema.get("items"))):
        inner = _mapping(inside, defs) if isinstance(inside, dict) else None
        if inner is not None:
            return step + inner[0], inner[1]
    return None


def _values(schema: dict[str, Any]) -> Any:
    patterns = schema.get("patternProperties")
    return next(iter(patterns.values())) if patterns else schema.get("additionalProperties")


def _takes(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    if schema.get("writeOnly"):
        return "secret"
    examples = schema.get("examples")
    if examples and str(examples[0]) in _UNITS:
        return _UNITS[str(examples[0])]
    if "const" in schema:
        return f"`{json.dumps(schema['const']).strip(chr(34))}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    schema = _resolve(schema, defs)
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        options = [option for option in alternatives if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(_takes(option, defs) for option in options))
    match schema.get("type"):
        case "array":
            return f"list of {_takes(schema['items'], defs)}" if schema.get("items") else "list"
        case "object" if "properties" not in schema and isinstance(_values(schema), dict):
            return f"name → {_takes(_values(schema), defs)}"
        case "object":
            return "mapping"
        case "integer":
            return "whole number"
        case "number":
            return "number"
        case "boolean":
            return "`true` or `false`"
        case None:
            return "anything"
    return "text"


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        return ""
    if isinstance(default, int | float) and schema.get("type") == "string":
        return f"`{as_written(default, str(schema['examples'][0]))}`"
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


if __name__ == "__main__":
    print(reference(), end="")
