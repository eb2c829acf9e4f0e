"""The form of settings, read from a model's JSON Schema: which keys there are, which values are secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from gateway.units import format_duration, format_size


@dataclass(frozen=True, slots=True)
class Shape:
    """A place in a schema. Where the schema offers alternatives, all of them count."""

    options: tuple[dict[str, Any], ...]
    defs: dict[str, Any]

    @classmethod
    def of(cls, model: type[BaseModel]) -> Shape:
        """The form of a model."""
        schema = _schema(model)
        return cls(tuple(_options(schema, schema.get("$defs", {}))), schema.get("$defs", {}))

    def child(self, segment: str | int) -> Shape:
        """The form of what stands under a key or index; this very place for the label of an alternative."""
        inner: list[dict[str, Any]] = []
        for option in self.options:
            if isinstance(segment, int):
                found = option.get("items")
            else:
                found = option.get("properties", {}).get(segment, option.get("additionalProperties"))
            if not isinstance(found, dict) and option.get("patternProperties"):
                found = next(iter(option["patternProperties"].values()))
            if isinstance(found, dict):
                inner += _options(found, self.defs)
        return Shape(tuple(inner), self.defs) if inner else self

    def at(self, location: Sequence[str | int]) -> Shape:
        """The form at a location."""
        shape = self
        for segment in location:
            shape = shape.child(segment)
        return shape

    @property
    def keys(self) -> list[str]:
        """The keys that may stand here."""
        return list(dict.fromkeys(key for option in self.options for key in option.get("properties", {})))

    @property
    def secret(self) -> bool:
        """Must what stands here never be shown?"""
        return any(option.get("writeOnly") for option in self.options)

    def example(self) -> str:
        """Something that may stand here."""
        for option in self.options:
            for choices in (option.get("examples"), option.get("enum"), [option.get("const")]):
                if choices and choices[0] is not None:
                    return _flow(choices[0])
        for option in self.options:
            if option.get("type") == "array":
                return f"[{Shape(tuple(_options(option.get('items', {}), self.defs)), self.defs).example()}]"
            if option.get("type") == "object":
                needed = (f"{key}: {self.child(key).example()}" for key in option.get("required", ()))
                return f"{{{', '.join(needed)}}}"
        return "…"

    @property
    def rule(self) -> str:
        """What must hold of text that stands here, in words where the model has some."""
        for option in self.options:
            if option.get("description"):
                return str(option["description"]).partition("\n")[0].rstrip(".")
        return (
            f"it has to match {next((o['pattern'] for o in self.options if 'pattern' in o), 'its pattern')}"
        )

    def bound(self, value: float) -> str:
        """A bound on what stands here, written as it would be in the file."""
        return as_written(value, self.example())


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON Schema, to be read only. Writing them all takes 100 ms, which every reload would pay."""
    return model.model_json_schema(by_alias=True)


def _flow(value: Any) -> str:
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)


def as_written(value: float, example: str) -> str:
    """A number as YAML writes it, by the example of its kind: 0.5 with the example `500ms` is `500ms`."""
    if example == "500ms":
        return format_duration(float(value))
    if example == "64KiB":
        return format_size(int(value))
    if example == "20%":
        return f"{value * 100:g}%"
    return f"{value:g}"


def secret_names(models: Sequence[type[BaseModel]]) -> frozenset[str]:
    """The keys of all these models whose values are secret."""
    names: set[str] = set()
    for model in models:
        schema = _schema(model)
        defs = schema.get("$defs", {})
        for part in (schema, *defs.values()):
            for name, option in part.get("properties", {}).items():
                if any(choice.get("writeOnly") for choice in _options(option, defs)):
                    names.add(name)
    return frozenset(names)


def secret_values(value: Any, shape: Shape) -> Iterator[str]:
    """The texts within a value that must never be shown, wherever the schema says so."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from secret_values(inner, shape.child(key))
    elif isinstance(value, list):
        for item in value:
            yield from secret_values(item, shape.child(0))
    elif isinstance(value, str) and shape.secret:
        yield value


def _options(schema: dict[str, Any], defs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema's alternatives, references followed; what stands beside a reference goes before it."""
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key in ("description", "examples")}
        for option in _options(defs[schema["$ref"].rpartition("/")[2]], defs):
            yield {**option, **beside}
        return
    alternatives = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if not alternatives:
        yield schema
        return
    beside = {key: value for key, value in schema.items() if key in ("description", "examples")}
    for alternative in alternatives:
        for option in _options(alternative, defs):
            yield {**beside, **option}
