from __future__ import annotations

from pydantic import BaseModel, SecretStr

from gateway.config.models import RoutesFile
from gateway.config.shapes import Shape, as_written, secret_names, secret_values


class Inner(BaseModel):
    word: str
    key: SecretStr | None = None


class Outer(BaseModel):
    inner: Inner
    """What is inside."""
    several: list[Inner] = []
    named: dict[str, SecretStr] = {}


def test_a_shape_follows_locations_and_passes_over_labels() -> None:
    shape = Shape.of(Outer)
    assert shape.keys == ["inner", "several", "named"]
    assert shape.at(("several", 3)).keys == ["word", "key"]
    assert shape.at(("several", 3, "Inner", "key")).secret
    assert shape.at(("named", "x-key")).secret
    assert not shape.at(("inner", "word")).secret


def test_examples_are_good_yaml() -> None:
    shape = Shape.of(RoutesFile)
    assert shape.child("upstreams").child("aurora").child("targets").example() == "[{url: …}]"
    assert shape.at(("routes", 0, "match", "methods")).example() == "[GET]"
    assert shape.at(("routes", 0, "match")).example() == "{methods: [GET], path: /aurora/games}"
    assert shape.at(("version",)).example() == "1"


def test_rules_come_from_descriptions_or_patterns() -> None:
    assert Shape(({"description": "Capitals.\nMore."},), {}).rule == "Capitals"
    assert Shape(({"pattern": "^a$"},), {}).rule == "it has to match ^a$"
    assert Shape((), {}).rule == "it has to match its pattern"


def test_numbers_as_they_are_written() -> None:
    assert as_written(0.5, "500ms") == "500ms"
    assert as_written(2048, "64KiB") == "2KiB"
    assert as_written(0.2, "20%") == "20%"
    assert as_written(3, "…") == "3"


def test_what_is_secret_is_known_by_name_and_by_value() -> None:
    assert secret_names([Outer]) == {"key"}
    value = {"inner": {"word": "a", "key": "one"}, "several": [{"key": "two"}], "named": {"x": "three"}}
    assert list(secret_values(value, Shape.of(Outer))) == ["one", "two", "three"]
