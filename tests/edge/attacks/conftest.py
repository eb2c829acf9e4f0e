"""What most modules of attacks have: an origin, and a gateway before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.edge.attacks.conversation import origin_in_a_thread
from tests.scenarios.running import Gateway, gateway


@pytest.fixture(scope="module")
def origin(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The kind that the module's ORIGIN makes; else one that records strictly what it is sent."""
    with getattr(request.module, "ORIGIN", origin_in_a_thread)() as origin:
        yield origin


@pytest.fixture(scope="module")
def edge(request: pytest.FixtureRequest, origin: Any) -> Iterator[Gateway]:
    """A gateway with the module's CONFIG, in which `{port}` is the origin's."""
    with gateway(request.module.CONFIG.format(port=origin.port)) as running:
        yield running
