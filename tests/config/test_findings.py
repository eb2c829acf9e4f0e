from __future__ import annotations

import pickle

import pytest

from gateway.config import ConfigError, Finding, Place, findings, render_findings
from gateway.config.findings import blot, show

SECRETS = frozenset({"api_key", "password"})


def test_each_is_told_once_in_the_order_of_files_and_lines() -> None:
    second = Finding.at(Place("b.yaml", 1, 1), "b", "mend")
    later = Finding.at(Place("a.yaml", 2, 3), "later", "mend")
    first = Finding.at(Place("a.yaml", 1, 9), "first", "mend", severity="warning")
    shown = show([second, later, first, later], {"a.yaml": ["one", "two"], "b.yaml": []}, frozenset())
    assert [finding.message for finding in shown] == ["first", "later", "b"]
    assert [finding.excerpt for finding in shown] == ["one", "two", ""]
    assert render_findings(shown) == (
        "a.yaml:1:9: warning: first\n    1 | one\n           ^\n      = mend\n"
        "a.yaml:2:3: error: later\n    2 | two\n          ^\n      = mend\n"
        "b.yaml:1:1: error: b\n      = mend\n"
    )


def test_colours_are_for_terminals() -> None:
    error = Finding.at(Place("a.yaml", 1, 1), "wrong")
    assert "\x1b[31merror\x1b[0m" in render_findings([error], color=True)
    assert "\x1b" not in render_findings([error])
    assert "\x1b[33mwarning" in render_findings(
        [Finding.at(error.place, "odd", severity="warning")], color=True
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("api_key: hunter2", "api_key: …"),
        ("  - {api_key: hunter2, x: 1}", "  - {api_key: …"),
        ('"password" : "hunter2"', '"password" : …'),
        ("api_key: {env: NAME}", "api_key: {env: NAME}"),
        ("api_key: {file: key.txt}, password: hunter2", "api_key: {file: key.txt}, password: …"),
        (
            "api_key: {env: NAME, default: hunter2}, password: hunter2",
            "api_key: {env: NAME, default: …}, password: …",
        ),
        ("api_key: [hunter2]", "api_key: …"),
        ("api_key: {header: x, password: hunter2}", "api_key: {header: x, password: …"),
        ("my_api_key: visible", "my_api_key: visible"),
        ("url: https://user:hunter2@host/", "url: https://…@host/"),
        ("bell\x07 \x1b[31mred", "bell   [31mred"),
    ],
)
def test_excerpts_show_no_secrets(line: str, shown: str) -> None:
    assert blot(line, SECRETS) == shown


def test_known_secret_values_are_hidden_wherever_they_stand() -> None:
    finding = Finding.at(Place("a.yaml", 1, 1), "wrong")
    (shown,) = show([finding], {"a.yaml": ["headers: {x: hunter2, y: abc}"]}, SECRETS, ["hunter2", "abc"])
    assert shown.excerpt == "headers: {x: …, y: abc}"


def test_the_error_holds_all_of_them_and_survives_pickling() -> None:
    error = ConfigError(
        [Finding.at(Place("a.yaml", 1, 2), "wrong", "mend it"), Finding.at(Place("b", 3, 4), "odd")]
    )
    assert str(error) == "a.yaml:1:2: error: wrong; mend it\nb:3:4: error: odd"
    assert pickle.loads(pickle.dumps(error)).findings == error.findings


def test_as_text_errors_are_not_hidden_behind_warnings() -> None:
    warnings = [Finding.at(Place("a.yaml", line, 1), "odd", severity="warning") for line in (1, 2)]
    error = Finding.at(Place("a.yaml", 3, 1), "wrong", "mend it")
    told = "a.yaml:3:1: error: wrong; mend it\nand %s, which `gateway check` tells"
    assert str(ConfigError([*warnings, error])) == told % "2 warnings"
    assert str(ConfigError([error, *warnings[:1]])) == told % "1 warning"
    assert ConfigError([*warnings, error]).findings == (*warnings, error)


def test_of_a_very_long_line_what_is_around_the_place_is_shown() -> None:
    for column, shown in ((1, "here"), (3001, "x"), (2000, "x")):
        line = "here" + "x" * 2996
        finding = Finding("routes.yaml", 1, column, "error", "it is wrong", "mend it", line)
        _, source, caret, _ = render_findings([finding]).splitlines()
        assert len(source) < 330
        assert source[min(len(caret), len(source)) - 1].startswith(shown[0])


def test_a_line_is_made_fit_to_be_shown_once_however_many_findings_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blotted: list[str] = []
    monkeypatch.setattr(findings, "blot", lambda line, _: blotted.append(line) or line)
    many = [Finding.at(Place("f", 1, column), "wrong", "mend it") for column in range(1, 500)]
    assert {one.excerpt for one in findings.show(many, {"f": ["a line"]}, frozenset())} == {"a line"}
    assert blotted == ["a line"]
