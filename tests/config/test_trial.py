from __future__ import annotations

import pytest

from gateway.config.trial import nothing_there, nowhere
from gateway.errors import Sent, UpstreamError
from tests.support import make_exchange


async def test_a_trial_reaches_nothing() -> None:
    for call in (nothing_there.request("GET", "http://127.0.0.1:1"), nowhere(make_exchange())):
        with pytest.raises(UpstreamError) as error:
            await call
        assert error.value.sent is Sent.NO
