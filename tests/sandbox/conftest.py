"""One of each sandbox per test, and a client for each."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.running import AURORA, BOREALIS, Running, platform, provider


@pytest.fixture
def aurora() -> Iterator[Running]:
    with provider("aurora") as running:
        yield running


@pytest.fixture
def borealis() -> Iterator[Running]:
    with provider("borealis") as running:
        yield running


@pytest.fixture
def to_wallet() -> Iterator[httpx.Client]:
    with platform() as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        yield client


@pytest.fixture
def to_aurora(aurora: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=aurora.url, trust_env=False, headers=AURORA) as client:
        yield client


@pytest.fixture
def to_borealis(borealis: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=borealis.url, trust_env=False, auth=BOREALIS) as client:
        yield client
