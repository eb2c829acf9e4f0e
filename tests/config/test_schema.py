from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gateway.config import json_schema, policies_schema
from gateway.policies import POLICIES
from tests.config.cases import FULL

# PyYAML follows YAML 1.1, where a bare `on` is true.
FILES = {
    part.partition("\n")[0]: part.partition("\n")[2]
    for part in FULL.replace("on: games", "'on': games").split("=== ")[1:]
}
ROUTES = FILES["routes.yaml"]
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
SILENT = {
    "$schema", "$defs", "title", "description", "default", "examples", "format", "writeOnly", "uniqueItems",
}  # fmt: skip


def wrong(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """What JSON Schema (2020-12, as far as it is used here) has against a value."""
    found: list[str] = []
    for word, rule in schema.items():
        match word:
            case "$ref":
                found += wrong(value, root["$defs"][rule.removeprefix("#/$defs/")], root, path)
            case "anyOf" | "oneOf":
                options = [wrong(value, option, root, path) for option in rule]
                if all(options):
                    found.append(f"{path}: none of {options}")
            case "not":
                if not wrong(value, rule, root, path):
                    found.append(f"{path}: is what it must not be")
            case "type":
                kinds = rule if isinstance(rule, list) else [rule]
                if not any(_is(value, kind) for kind in kinds):
                    found.append(f"{path}: {value!r} is no {rule}")
            case "enum":
                found += [] if value in rule else [f"{path}: {value!r} not in {rule}"]
            case "const":
                found += [] if value == rule else [f"{path}: {value!r} is not {rule}"]
            case "pattern":
                if isinstance(value, str) and not re.search(rule, value):
                    found.append(f"{path}: {value!r} does not match {rule}")
            case "required":
                found += [
                    f"{path}: {key} is missing"
                    for key in rule
                    if isinstance(value, dict) and key not in value
                ]
            case "properties":
                for key, inner in rule.items():
                    if isinstance(value, dict) and key in value:
                        found += wrong(value[key], inner, root, f"{path}.{key}")
            case "patternProperties":
                for key in value if isinstance(value, dict) else ():
                    for pattern, inner in rule.items():
                        if re.search(pattern, key):
                            found += wrong(value[key], inner, root, f"{path}.{key}")
            case "additionalProperties":
                known = schema.get("properties", {})
                for key in value if isinstance(value, dict) else ():
                    if key not in known and rule is False and "patternProperties" not in schema:
                        found.append(f"{path}: unknown key {key}")
                    elif key not in known and isinstance(rule, dict):
                        found += wrong(value[key], rule, root, f"{path}.{key}")
            case "items":
                for index, item in enumerate(value if isinstance(value, list) else ()):
                    found += wrong(item, rule, root, f"{path}[{index}]")
            case "minItems" | "minProperties" | "minLength":
                found += [f"{path}: too short"] if hasattr(value, "__len__") and len(value) < rule else []
            case "maxItems" | "maxProperties" | "maxLength":
                found += [f"{path}: too long"] if hasattr(value, "__len__") and len(value) > rule else []
            case "minimum":
                found += [f"{path}: too small"] if isinstance(value, int) and value < rule else []
            case "maximum":
                found += [f"{path}: too large"] if isinstance(value, int) and value > rule else []
            case "exclusiveMinimum" | "exclusiveMaximum" | "propertyNames":
                pass
            case _:
                assert word in SILENT, f"{path}: unknown schema keyword {word}"
    return found


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def test_a_good_configuration_fits() -> None:
    assert wrong(yaml.safe_load(ROUTES), json_schema(), json_schema()) == []
    for name in ("platform-only", "metadata"):
        assert (
            wrong(yaml.safe_load(FILES[f"policies/{name}.yaml"]), policies_schema(), policies_schema()) == []
        )


@pytest.mark.parametrize(
    "edit",
    [
        ("rewrite:", "rewite:"),
        ("methods: [GET]", "methods: GET"),
        ("connect: 500ms", "connect: 500"),
        ("connect: 500ms", "connect: 5min"),
        ("{error_codes: {}}", "{error_codes: {}, cache: {}}"),
        ("{error_codes: {}}", "{error_kodes: {}}"),
        ("{error_codes: {}}", "cache"),
        ("sample: 100%", "sample: 1"),
        ("version: 1", "version: 2"),
        ("level: info", "level: loud"),
        ("{env: PLATFORM_API_KEY}", "{env: PLATFORM_API_KEY, defalt: x}"),
    ],
)
def test_a_mistake_does_not(edit: tuple[str, str]) -> None:
    assert ROUTES.count(edit[0]) == 1
    assert wrong(yaml.safe_load(ROUTES.replace(*edit)), json_schema(), json_schema()) != []


def test_every_scalar_may_be_a_reference() -> None:
    for literal in ("500ms", "256", "2MiB", "100%", "/v1/games", "true\n", "1/minute"):
        edited = ROUTES.replace(literal, "{env: NAME}" + ("\n" if literal.endswith("\n") else ""), 1)
        assert edited != ROUTES
        assert wrong(yaml.safe_load(edited), json_schema(), json_schema()) == [], literal


def test_every_policy_is_in_it_by_name() -> None:
    assert list(policies_schema()["items"]["properties"]) == list(POLICIES)
    definitions = json_schema()["$defs"]
    assert set(POLICIES) <= set(definitions)
    assert "reference" in definitions


def test_defaults_are_written_as_in_yaml() -> None:
    limits = json_schema()["$defs"]["ServerLimitsConfig"]["properties"]
    assert limits["head"]["default"] == "32KiB"
    assert limits["head_timeout"]["default"] == "5s"
    retry = next(d for d in json_schema()["$defs"].values() if "budget" in d.get("properties", {}))
    assert retry["properties"]["budget"]["default"] == "20%"
