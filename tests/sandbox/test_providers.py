from __future__ import annotations

import httpx
import pytest

from gateway.sandbox.providers import provider_sandbox
from tests.sandbox.running import Running, provider


def test_a_provider_without_an_operator_key_serves_everybody() -> None:
    with provider("aurora", operator_key="") as aurora, provider("borealis", operator_key="") as borealis:
        assert httpx.get(f"{aurora.url}/v1/games").status_code == 200
        assert httpx.get(f"{borealis.url}/api/list.do").json()["status"] == 0


def test_a_provider_says_what_it_is(aurora: Running) -> None:
    assert repr(aurora.sandbox) == "<Sandbox aurora, well-behaved>"


def test_there_is_no_third_provider() -> None:
    with pytest.raises(KeyError):
        provider_sandbox("gemini")
