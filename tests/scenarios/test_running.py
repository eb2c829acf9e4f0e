"""What the scenarios stand on: a gateway starts, is asked, and leaves nobody behind."""

from __future__ import annotations

import httpx
import pytest

from tests.sandbox.running import AURORA, provider
from tests.scenarios.running import gateway, is_alive

CONFIG = """
    version: 1
    upstreams:
      aurora: {targets: [{url: {env: AURORA_URL}}]}
    routes:
      - name: games
        match: {methods: [GET], path: /games}
        upstream: aurora
        rewrite: /v1/games
        policies: [told, {timeout: {total: 5s}}]
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_serves_as_long_as_its_block_lasts(workers: int) -> None:
    lists = {"told": "- headers: {request: {set: {x-told: here}}}"}
    with provider("aurora") as aurora, gateway(CONFIG, lists, {"AURORA_URL": aurora.url}, workers) as running:
        answer = httpx.get(running.url + "/games", headers=AURORA)
        assert answer.status_code == 200
        assert running.ask("/readyz").status_code == 200
        assert running.metric("gateway_requests_total", route="games") == 1
        processes = [running.process.pid, running.observer_pid(), *running.worker_pids()]
        assert len(set(processes)) == workers + 2
        assert all(map(is_alive, processes))
    assert not any(map(is_alive, processes))


def test_what_it_says_when_it_does_not_start_is_told() -> None:
    with pytest.raises(AssertionError, match="AURORA_URL"), gateway(CONFIG, {"told": "[]"}):
        pass
