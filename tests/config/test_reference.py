from __future__ import annotations

from pathlib import Path

from gateway.config.models import RoutesFile
from gateway.config.reference import reference
from gateway.config.server import ServerLimitsConfig


def test_the_page_is_what_the_models_say() -> None:
    """Write it anew with `python -m gateway.config.reference > docs/configuration.md`."""
    assert (Path(__file__).parents[2] / "docs" / "configuration.md").read_text() == reference()


def test_every_key_has_a_row_with_its_default() -> None:
    page = reference()
    for key in (*RoutesFile.model_fields, *ServerLimitsConfig.model_fields):
        assert f"| `{key}` |" in page
    assert "| `head_timeout` | duration | `5s` |" in page
    assert "| `sample` | percentage |  |" in page
    assert "| `api_key` | secret |" in page
    assert "## `upstreams.NAME.targets[]`" in page
