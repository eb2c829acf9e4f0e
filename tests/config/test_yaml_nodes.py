from __future__ import annotations

import pytest
import yaml

from gateway.config.findings import Place
from gateway.config.yaml_nodes import STRING, compose, explain


def test_no_scalar_is_resolved() -> None:
    root = compose("[010, off, 12:30:00, 1.5, ~, 2026-01-01]")
    assert isinstance(root, yaml.SequenceNode)
    assert [(node.value, node.tag) for node in root.value] == [
        (text, STRING) for text in ("010", "off", "12:30:00", "1.5", "~", "2026-01-01")
    ]
    assert compose("# nothing") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: b: c", "a `: ` stands where no key can be"),
        ("\ta: b", "a tab stands where YAML wants spaces"),
        ("a: 'b", "a quoted text is not closed"),
        ("a: [b", "a `{` or `[` is not closed, or a comma is missing"),
        ("a: b\nc\nd: e", "a key has no `:`"),
        ("a: %b", "text cannot start with '%' here"),
        ("a: *b", "text that starts with `*` is read as an alias"),
        ('a: "\\q"', "a backslash in double quotes begins an escape, and this is none"),
        ("a: b\n---\nc: d", "a second document starts here"),
        ("a:\n  - b\n c: d", "this line does not fit the lines above it"),
    ],
)
def test_the_parser_is_put_into_plain_words(text: str, told: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as error:
        compose(text)
    mark = error.value.problem_mark
    assert mark is not None
    message, mend = explain(error.value, text, Place("f", mark.line + 1, mark.column + 1))
    assert message == told
    assert mend
