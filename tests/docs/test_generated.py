"""What is written from the code is what the code says, and nothing the code has is missing from the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import CODES
from gateway.observer import access_log, spans
from gateway.policies import POLICIES
from tests.docs.generate import DOCS, ROOT, commands, metrics, pages, summary

PAGES = dict(pages())
TEXT = {path: path.read_text() for path in sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_generated_part_is_what_the_code_says(page: Path):
    """Write it anew with `make docs`."""
    assert page.read_text() == PAGES[page]


def test_every_policy_has_a_page_that_begins_with_what_it_is_for():
    for name, config in POLICIES.items():
        assert TEXT[DOCS / "policies" / f"{name}.md"].startswith(f"# {name}\n\n")
        assert summary(name)[-1] in ".:"
        for key, field in config.model_fields.items():
            assert f"| `{field.alias or key}` |" in TEXT[DOCS / "policies" / f"{name}.md"], (name, key)


def test_every_code_command_and_metric_is_told_in_its_page():
    for code in CODES:
        assert f"| `{code}` |" in TEXT[DOCS / "errors.md"]
    for name, (purpose, _) in commands().items():
        assert f"## `gateway {name}`" in TEXT[DOCS / "command-line.md"]
        assert purpose, name
    assert len(metrics()) > 40
    for metric in metrics():
        assert f"| `{metric.name}` |" in TEXT[DOCS / "telemetry.md"]
        assert metric.help, metric.name


def test_every_metric_that_a_page_names_exists_with_those_labels():
    known = {metric.name: metric for metric in metrics()}
    for path, text in TEXT.items():
        for name, labels in re.findall(r"`(gateway_\w+)(?:\{([\w,]+)\})?", text):
            assert name in known, f"{path.name} names {name}"
            if labels:
                assert tuple(labels.split(",")) == known[name].labels, f"{path.name}: {name}"


def test_every_attribute_and_field_is_told():
    text = TEXT[DOCS / "telemetry.md"]
    sources = [Path(spans.__file__), *(ROOT / "gateway" / "policies").glob("*.py")]
    found = {name for path in sources for name in re.findall(r'"(gateway\.[a-z_.]+)"', path.read_text())}
    assert len(found) > 20
    for name in found:
        assert f"`{name}`" in text, name
    fields = re.findall(r'^        "(\w+)": ', Path(access_log.__file__).read_text(), re.MULTILINE)
    assert len(fields) > 15
    told = text.partition("## Access log")[2]
    for name in fields:
        assert f"`{name}`" in told, name


def test_every_environment_variable_is_told():
    source = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    text = "".join(TEXT.values())
    for name in set(re.findall(r'"((?:GATEWAY|OTEL)_[A-Z_]*[A-Z])"', source)):
        assert f"`{name.replace('OTLP_TRACES_', 'OTLP_')}" in text, name
    for name in set(re.findall(r'variable\("([A-Z_]+)"', source)):
        assert f"_{name}`" in text, name
