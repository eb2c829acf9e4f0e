from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.document import Document


def read(text: str | bytes, environ: dict[str, str] | None = None, folder: Path = Path()) -> Document:
    return Document("routes.yaml", text.encode() if isinstance(text, str) else text, environ or {}, folder)


def messages(document: Document) -> list[str]:
    return [str(finding) for finding in document.findings]


def test_places_count_lines_and_characters_from_one() -> None:
    document = read("version: 1\nroutes:\n  - näme: ö\n    match: {path: /a}\n")
    assert str(document.place(("routes", 0, "match", "path"))) == "routes.yaml:4:19"
    assert str(document.place(("routes", 0, "match", "path"), key=True)) == "routes.yaml:4:13"
    assert str(document.place(("routes", 0, "näme"))) == "routes.yaml:3:11"
    assert str(document.place(("routes", 0), key=True)) == "routes.yaml:3:5"
    assert str(document.place()) == "routes.yaml:1:1"


def test_what_a_file_does_not_have_is_passed_over() -> None:
    document = read("routes:\n- {match: {path: /a}}\n")
    assert document.follow(("routes", 0, "SomeModel", "match", "missing")) == ("routes", 0, "match")
    assert document.follow(("routes", 7)) == ("routes",)
    assert document.value_at(("routes", 0, "match")) == {"path": "/a"}


def test_variables_and_files_stay_plain_text(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"{a: [1, 2]}\r\n")
    environ = {"SECRET": "a: [b", "NUMBER": "010", "NOTHING": ""}
    document = read(
        "a: {env: SECRET}\nb: {env: NUMBER, default: 3}\nc: {env: UNSET, default: 3}\n"
        "d: {file: key}\ne: {env: NOTHING}\n",
        environ,
        tmp_path,
    )
    assert document.findings == []
    assert document.value == {"a": "a: [b", "b": "010", "c": 3, "d": "{a: [1, 2]}", "e": ""}
    assert document.files == [tmp_path / "key"]
    assert document.reference(("a",)) == "$SECRET"
    assert document.reference(("d",)) == "key"
    assert document.reference(("c",)) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {env: UNSET}", "routes.yaml:1:4: error: the environment variable UNSET is not set"),
        ("a: {env: 5}", "routes.yaml:1:4: error: env takes the name of an environment variable"),
        ("a: {env: X, default: [1]}", "routes.yaml:1:4: error: a default is a single value"),
        (
            "a: {file: none}",
            "routes.yaml:1:4: error: the file none cannot be read: no such file or directory",
        ),
        ("a: {file: [x]}", "routes.yaml:1:4: error: file takes the path of a file"),
        ("a: {file: binary}", "routes.yaml:1:4: error: the file binary is not UTF-8 text"),
        ("a: &x 5\nb: *x", "routes.yaml:2:4: error: the alias *x is not read"),
        ("a: &x {b: 1}\nc: *x\nd: *x", "routes.yaml:2:4: error: the alias *x is not read"),
        ("a: &x [*x]", "routes.yaml:1:8: error: the alias *x is not read"),
        ("a: *x", "routes.yaml:1:4: error: text that starts with `*` is read as an alias"),
        (
            "a: !!python/object:os.system {}",
            "routes.yaml:1:4: error: the tag !!python/object:os.system is not read",
        ),
        ("a: !x 5", "routes.yaml:1:4: error: the tag !x is not read"),
        ("<<: {a: 1}", "routes.yaml:1:1: error: merge keys (`<<`) are not read"),
        ("? [a]\n: 1", "routes.yaml:1:3: error: a key must be text"),
        ("404: a\n'404': b", "routes.yaml:2:1: error: the key '404' stands twice, first on line 1"),
        ("a: 1\n b: 2", "routes.yaml:2:3: error: a `: ` stands where no key can be"),
        ("a:\n  - b\n c: 1", "routes.yaml:3:2: error: this line does not fit the lines above it"),
        ('a: "\\q"', "routes.yaml:1:5: error: a backslash in double quotes begins an escape"),
        ("a: @b", "routes.yaml:1:4: error: text cannot start with '@' here"),
        ("a: b\n--- \nc: d", "routes.yaml:2:1: error: a second document starts here"),
        ("a: \x07", "routes.yaml:1:4: error: a control character stands here that YAML does not allow"),
        ("a: b\nc: \x07", "routes.yaml:2:4: error: a control character stands here that YAML does not allow"),
    ],
)
def test_what_yaml_itself_may_not_say(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    assert messages(read(text, folder=tmp_path))[0].startswith(told)


def test_text_that_is_not_utf_8_is_told_with_its_place() -> None:
    document = read(b"a: b\nc: \xe9\n")
    assert messages(document) == ["routes.yaml:2:4: error: the file is not UTF-8; save it as UTF-8"]
    assert not document.readable
    assert str(document.place(("c",))) == "routes.yaml:1:1"
    assert document.reference(("c",)) is None
    assert document.follow(("c",)) == ()


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    assert read(b"\xef\xbb\xbfa: 1\r\nb: x\r\n").value == {"a": 1, "b": "x"}


def test_an_empty_file_is_readable_and_holds_nothing() -> None:
    for text in ("", "# nothing yet\n", "---\n"):
        assert read(text).readable
        assert read(text).value is None


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 100_000 + "x", "{a: " * 100_000, "[" * 100_000 + "]" * 100_000]
)
def test_deep_nesting_is_refused_before_it_can_hurt(text: str) -> None:
    assert "nested too deeply" in messages(read(text))[0]


def test_moderately_deep_nesting_is_refused_too() -> None:
    assert "nested too deeply" in messages(read("[" * 60 + "]" * 60))[0]


def test_many_balanced_brackets_are_no_depth() -> None:
    assert len(read("a:\n" + "- {b: [1]}\n" * 1000).value["a"]) == 1000


def test_without_libyaml_the_same_is_read() -> None:
    """PyYAML may be installed without its C half."""
    program = """
import sys
sys.modules["yaml.cyaml"] = None
sys.modules["yaml._yaml"] = None
from pathlib import Path
from gateway.config.document import Document
document = Document("f", b"a: {b: [010, off, 'x']}\\nc: {b: 1, b: 2}\\n", {}, Path("."))
print(document.value, [str(finding) for finding in document.findings])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "{'a': {'b': [10, 'off', 'x']}, 'c': {'b': 1}} "
        "[\"f:2:11: error: the key 'b' stands twice, first on line 2; remove one of them\"]\n"
    )


@given(st.text(alphabet=st.sampled_from("ab:-[]{}\"'#&*!|>%@`,?\n\t 0.~<"), max_size=60))
def test_no_text_makes_reading_fail(text: str) -> None:
    document = read(text)
    lines = text.count("\n") + 1
    for finding in document.findings:
        assert 1 <= finding.line <= lines
        assert finding.column >= 1
        assert finding.mend


@given(st.binary(max_size=40))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    read(data)
