"""Tests mirror the package: whoever looks for a module's tests finds them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path.relative_to(ROOT / "gateway") for path in (ROOT / "gateway").rglob("*.py"))
ELSEWHERE = {
    "__main__.py": "tests/scenarios/running.py",  # every scenario starts it
    "config/configuration.py": "tests/config/test_loading.py",  # plain fields, filled by loading
    "config/server.py": "tests/config/test_models.py",  # models without behaviour
    "config/telemetry.py": "tests/config/test_models.py",  # likewise
    "caching/origin.py": "tests/policies/test_cache.py",  # a cache's half that only the policy can drive
    "commands.py": "tests/test_cli.py",  # commands are tried as they are typed
    "control.py": "tests/upstream/test_control.py",  # the protocol; its only implementation has the tests
    "observer/__main__.py": "tests/observer/test_process.py",
    "chain.py": "tests/test_policy.py",  # policies and what nests them are tried together
    **{
        f"enforcement/{name}.py": f"tests/policies/test_{name}.py"  # what a policy does, as it is asked for
        for name in (
            "authentication",
            "circuit_breaker",
            "ip_allow_list",
            "rate_limit",
            "retry",
            "timeout",
        )
    },
}
"""Modules without a test file of their own name → where their tests are."""


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_its_tests(module: Path) -> None:
    if module.name == "__init__.py":
        return
    mirror = ROOT / "tests" / module.with_name(f"test_{module.name}")
    if str(module) in ELSEWHERE:
        assert (ROOT / ELSEWHERE[str(module)]).exists()
        assert not mirror.exists(), "it has its own tests now: take it off the list"
    else:
        assert mirror.exists(), f"write {mirror.relative_to(ROOT)}"


def test_the_list_of_exceptions_names_modules_that_exist() -> None:
    assert {str(module) for module in MODULES} >= ELSEWHERE.keys()
