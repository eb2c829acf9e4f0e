"""A real issuer, and a real client to ask it with."""

import pytest

from gateway.upstream.control import HttpxControlClient
from tests.support import make_services
from tests.tokens.issuer import serve_issuer


@pytest.fixture
async def issuer():
    async with serve_issuer() as issuer:
        yield issuer


@pytest.fixture
async def services():
    control = HttpxControlClient()
    yield make_services(control=control)
    await control.close()
