"""The JSON Schemas that complete `routes.yaml` and `policies/*.yaml` in editors."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from gateway.config.models import RoutesFile
from gateway.config.shapes import as_written
from gateway.policies import POLICIES

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {
    "description": "A value kept elsewhere: an environment variable, or a file beside routes.yaml.",
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "env": {"type": "string"},
                "default": {"type": ["string", "number", "boolean", "null"]},
            },
            "required": ["env"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"file": {"type": "string"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ],
}
_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_DESCRIPTIVE = ("title", "description", "default", "examples")


def json_schema() -> dict[str, Any]:
    """For `routes.yaml` (JSON Schema 2020-12)."""
    schema, defs = _definitions()
    routes = TypeAdapter(RoutesFile).json_schema(ref_template="#/$defs/{model}")
    defs = {**routes.pop("$defs", {}), **defs}
    items: dict[str, Any] = {
        "anyOf": [
            {
                "type": "string",
                "description": "A policy list: a file of this name in policies/.",
                "not": {"enum": list(POLICIES)},
            },
            schema,
        ]
    }
    defs["RouteConfig"]["properties"]["policies"] |= {"type": "array", "items": items}
    return _finish(routes, defs, "routes.yaml of Provider Gateway")


def policies_schema() -> dict[str, Any]:
    """For the files in `policies/` (JSON Schema 2020-12)."""
    schema, defs = _definitions()
    return _finish({"type": "array", "items": schema}, defs, "A policy list of Provider Gateway")


def _definitions() -> tuple[dict[str, Any], dict[str, Any]]:
    """(what one inline policy looks like, the definitions it refers to)."""
    defs: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, config in POLICIES.items():
        schema = config.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}.{{model}}")
        for inner, definition in schema.pop("$defs", {}).items():
            defs[f"{name}.{inner}"] = definition
        defs[name] = schema
        properties[name] = {"$ref": f"#/$defs/{name}"}
    policy = {
        "type": "object",
        "description": "One policy under its name; {} takes its defaults.",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return policy, defs


def _finish(schema: dict[str, Any], defs: dict[str, Any], title: str) -> dict[str, Any]:
    defs = {name: _with_references(definition) for name, definition in defs.items()}
    body = _with_references(schema)
    return {"$schema": _DIALECT, **body, "title": title, "$defs": {**defs, "reference": _REFERENCE}}


def _with_references(schema: Any) -> Any:
    """The same schema, where every scalar may also be `{env: NAME}` or `{file: PATH}`."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    default = schema.get("default")
    if isinstance(default, dict):
        schema = {key: value for key, value in schema.items() if key != "default"}
    elif isinstance(default, float | int) and schema.get("type") == "string":
        schema = {**schema, "default": as_written(default, str(schema["examples"][0]))}
    if _is_scalar(schema):
        told = {key: value for key, value in schema.items() if key in _DESCRIPTIVE}
        rest = {key: value for key, value in schema.items() if key not in _DESCRIPTIVE}
        return {**told, "anyOf": [rest, {"$ref": "#/$defs/reference"}]}
    return {
        key: {name: _with_references(inner) for name, inner in value.items()}
        if key in ("properties", "$defs", "patternProperties")
        else _with_references(value)
        if key in ("items", "additionalProperties", "anyOf", "oneOf", "allOf", "prefixItems")
        else value
        for key, value in schema.items()
    }


def _is_scalar(schema: dict[str, Any]) -> bool:
    return schema.get("type") in _SCALARS or (
        "type" not in schema and ("enum" in schema or "const" in schema)
    )
