"""Errors of models made up to hold every shape; those of the real ones are among the broken files."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gateway.config.document import Document
from gateway.config.shapes import Shape
from gateway.config.translate import translate
from gateway.mistakes import Mistake
from gateway.units import Duration, Percent, Size


def _fussy(value: Any) -> Any:
    raise Mistake(f"{value!r} is not to my liking", "choose another")


class Kind(Enum):
    ROUND = "round"
    SQUARE = "square"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Key(Strict):
    header: str


class Token(Strict):
    issuer: str
    leeway: Duration = 1.0


class Model(Strict):
    text: str = ""
    number: int = 0
    share: float = 0.0
    flag: bool = False
    kind: Kind = Kind.ROUND
    word: Literal["one", "two"] = "one"
    few: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    many: Annotated[list[int], Field(min_length=2)] = [1, 2]
    name: Annotated[str, Field(min_length=1, max_length=3)] = "abc"
    code: Annotated[str, Field(pattern="^[A-Z]+$")] = "A"
    told: Annotated[str, Field(pattern="^[A-Z]+$", description="Capitals only.\nReally.")] = "A"
    way: Annotated[str, Field(pattern=r"^(client|route|header:[a-z]+)$")] = "client"
    secret: SecretStr = SecretStr("")
    fussy: Annotated[str, AfterValidator(_fussy)] = ""
    foreign: Annotated[str, AfterValidator(int)] = ""
    wait: Annotated[Duration, Field(gt=0, le=60)] = 1.0
    size: Annotated[Size, Field(ge=1024)] = 1024
    part: Annotated[Percent, Field(lt=0.5)] = 0.1
    least: Annotated[int, Field(ge=2)] = 2
    accept: list[Literal["api_key", "jwt"] | Key | Token] = []
    either: int | Key = 0
    nested: dict[str, Key] = {}


def told(text: str, **environ: str) -> list[str]:
    document = Document("f", text.encode(), environ, Path())
    with pytest.raises(ValidationError) as error:
        Model.model_validate(document.value)
    findings = translate(error.value.errors(include_url=False), document, (), Shape.of(Model))
    return [f"{finding.line}:{finding.column} {finding.message}; {finding.mend}" for finding in findings]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("text: 5", "1:7 text takes text, not the number 5; write it in quotes"),
        ("text: true", "1:7 text takes text, not true; write it in quotes"),
        ("text: [a]", "1:7 text takes text, not a list; write it in quotes"),
        ("text:", "1:6 text is empty; give it a value, or remove it: text takes text"),
        ("number: many", "1:9 number takes a whole number, not text; write digits only"),
        ("number: 1.5", "1:9 number takes a whole number, not the number 1.5; write digits only"),
        ("share: half", "1:8 share takes a number, not text; write digits, with a point if need be"),
        ("flag: maybe", "1:7 flag takes true or false, not text; write true or false"),
        ("few: {a: 1}", "1:6 few takes a list, not a mapping; begin each entry with a dash"),
        ("few: []", "1:6 few is empty; give at least 1"),
        ("few: [1, 2, 3]", "1:6 few is too long; give at most 2"),
        ("few: [x]", "1:7 few[1] takes a whole number, not text; write digits only"),
        ("many: [1]", "1:7 many is too short; give at least 2"),
        ("name: ''", "1:7 name is empty; give at least 1"),
        ("name: abcd", "1:7 name is too long; give at most 3"),
        ("kind: rond", "1:7 kind cannot be 'rond'; did you mean 'round'?"),
        ("word: three", "1:7 word cannot be 'three'; write one or two"),
        ("word: [one]", "1:7 word cannot be a list; write one or two"),
        ("code: abc", "1:7 code cannot be 'abc'; it has to match ^[A-Z]+$"),
        ("told: abc", "1:7 told cannot be 'abc'; Capitals only"),
        ("way: rute", "1:6 way cannot be 'rute'; did you mean 'route'?"),
        ("way: x", "1:6 way cannot be 'x'; write client or route or header:NAME"),
        (f"code: {'a' * 70}", f"1:7 code cannot be '{'a' * 57}…'; it has to match ^[A-Z]+$"),
        ("secret: [hunter2]", "1:9 secret takes text, not a list; write it in quotes"),
        ("fussy: this", "1:8 'this' is not to my liking; choose another"),
        ("wait: 0s", "1:7 wait must be more than 0ms; write a value of more than 0ms"),
        ("wait: 2m", "1:7 wait must be at most 1m; write a value of at most 1m"),
        ("size: 1B", "1:7 size must be at least 1KiB; write a value of at least 1KiB"),
        ("part: 50%", "1:7 part must be less than 50%; write a value of less than 50%"),
        ("least: 1", "1:8 least must be at least 2; write a value of at least 2"),
        ("accept: [jwtt]", "1:10 accept[1] cannot be 'jwtt'; did you mean 'jwt'?"),
        (
            "accept: [[]]",
            "1:10 accept[1] takes api_key or jwt or a mapping, not a list; write api_key or jwt or a mapping",
        ),
        ("accept: [{heeader: x}]", "1:10 header is missing from accept[1]; add header: …"),
        ("accept: [{issuer: x, leeway: 5}]", "1:30 5 is not a duration; write a number and ms, s"),
        ("accept: [{header: 5}]", "1:19 header takes text, not the number 5; write it in quotes"),
        (
            "either: many",
            "1:9 either takes a whole number or a mapping, not text; write a whole number or a mapping",
        ),
        ("nested: {a: {}}", "1:13 header is missing from nested.a; add header: …"),
        ("nested: {a: {header: x, more: y}}", "1:25 unknown key 'more'; there is header"),
        ("colour: red", "1:1 unknown key 'colour'; there are "),
    ],
)
def test_every_kind_of_error_has_its_words(text: str, sentence: str) -> None:
    assert told(text)[0].startswith(sentence)


def test_a_value_from_outside_is_not_repeated() -> None:
    assert told("fussy: {env: X}", X="hunter2") == ["1:8 the value of $X is not to my liking; choose another"]
    assert told("word: {env: X}", X="h" * 70)[0].startswith("1:7 word cannot be the value of $X")
    assert told("fussy: {env: X}", X="")[0].startswith("1:8 '' is not to my liking")


def test_an_error_of_a_library_is_told_too() -> None:
    assert told("foreign: this") == [
        "1:10 foreign is not valid: invalid literal for int() with base 10: 'this'; write another value"
    ]


def test_a_value_that_could_not_be_had_is_told_once_only() -> None:
    document = Document("f", b"number: {env: X}", {}, Path())
    with pytest.raises(ValidationError) as error:
        Model.model_validate(document.value)
    assert translate(error.value.errors(include_url=False), document, (), Shape.of(Model)) == []
