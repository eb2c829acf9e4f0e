from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from gateway.mistakes import Mistake, shown_url, suggest

GATEWAY = Path(__file__).parent.parent / "gateway"
JUDGES = [
    *sorted((GATEWAY / "config").glob("*.py")),
    *sorted((GATEWAY / "policies").glob("*.py")),
    *(
        GATEWAY / name
        for name in (
            "consumers.py",
            "networks.py",
            "units.py",
            "tokens/accept.py",
            "tokens/certificates.py",
            "tokens/owners.py",
            "tokens/secret_table.py",
            "upstream/settings.py",
            "upstream/tls.py",
        )
    ),
]
"""Modules that judge what stands in a configuration."""


def test_its_halves_are_fields_and_its_text_holds_both() -> None:
    mistake = Mistake("strategy: x is wrong", "write strategy: y", at=("strategy",))
    assert (mistake.what, mistake.mend) == ("strategy: x is wrong", "write strategy: y")
    assert str(mistake) == "strategy: x is wrong: write strategy: y"
    again = pickle.loads(pickle.dumps(mistake))
    assert (again.what, again.mend, again.at) == (mistake.what, mistake.mend, ("strategy",))


def test_pydantic_hands_it_through_as_it_is() -> None:
    class Model(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _refuse(cls, data: Any) -> Any:
            raise Mistake("no", "yes")

    with pytest.raises(ValidationError) as error:
        Model()
    told = error.value.errors()[0]
    assert told["type"] == "value_error"
    assert isinstance(told["ctx"]["error"], Mistake)


@pytest.mark.parametrize("module", JUDGES, ids=lambda path: str(path.relative_to(GATEWAY)))
def test_who_judges_a_configuration_says_what_is_wrong_and_how_to_mend_it(module: Path) -> None:
    raised = [
        f"{module.name}:{node.lineno}"
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id in {"ValueError", "AssertionError", "TypeError"}
    ]
    assert not raised, "raise a Mistake there"


def test_a_guess_or_what_there_is() -> None:
    assert suggest("reset-after", ["reset_after", "window"]) == "did you mean 'reset_after'?"
    assert suggest("Cache", ["cache"]) == "did you mean 'cache'?"
    assert suggest("x", ["cache", "alpha"]) == "there are alpha, cache"
    assert suggest("x", {"cache": 1}) == "there is cache"
    assert suggest("x", []) == "there are none"
    assert suggest("zz", [f"name{n:02}" for n in range(30)]).endswith("name19, …")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://me:s3cret@host/x", "'ftp://…@host/x'"),
        ("https://host/x?key=s3cret", "'https://host/x?…'"),
        ("https://host/x#s3cret", "'https://host/x#…'"),
        ("nonsense", "'nonsense'"),
    ],
)
def test_a_url_is_quoted_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown
