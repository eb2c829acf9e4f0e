"""One of each sandbox per test, and a client."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.running import AURORA, BOREALIS, Running, platform, provider


@pytest.fixture
def wallet() -> Iterator[Running]:
    with platform() as running:
        yield running


@pytest.fixture
def aurora(wallet: Running) -> Iterator[Running]:
    with provider("aurora", f"{wallet.url}/callbacks/aurora") as running:
        yield running


@pytest.fixture
def borealis(wallet: Running) -> Iterator[Running]:
    with provider("borealis", f"{wallet.url}/callbacks/borealis") as running:
        yield running


@pytest.fixture
def to_wallet(wallet: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=wallet.url, trust_env=False) as client:
        yield client


@pytest.fixture
def to_aurora(aurora: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=aurora.url, trust_env=False, headers=AURORA) as client:
        yield client


@pytest.fixture
def to_borealis(borealis: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=borealis.url, trust_env=False, auth=BOREALIS) as client:
        yield client
