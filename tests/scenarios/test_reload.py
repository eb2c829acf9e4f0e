"""Configurations come and go under load; nobody who calls can tell, but by what the new one says."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.scenarios.callers import Callers
from tests.scenarios.origin import Origin
from tests.scenarios.running import Gateway, eventually, gateway, resident_bytes

RELOADS = int(os.environ.get("RELOADS", "200"))
"""A tenth of them are bad files. `RELOADS=5000 make test-reload` looks for slow leaks."""

CONFIG = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}], timeout: {{response: 20s}}}}
    routes:
      - name: told
        match: {{methods: [GET], path: "/*"}}
        upstream: origin
        policies: [{{headers: {{response: {{set: {{x-generation: "{number}"}}}}}}}}]
"""


def config(origin: Origin, number: int) -> str:
    return CONFIG.format(url=origin.url, number=number)


def reload(running: Gateway, client: Any = httpx) -> httpx.Response:
    answer: httpx.Response = client.post(running.admin + "/api/reload", json={}, timeout=30)
    return answer


def get(running: Gateway, path: str, **more: str) -> httpx.Response:
    return httpx.get(running.url + path, headers=more, trust_env=False)


@pytest.mark.timeout(60 + RELOADS)
def test_reloads_under_load_fail_no_call_and_never_show_two_generations() -> None:
    acknowledged = 1

    def check(before: int, answer: http.client.HTTPResponse) -> str:
        shown = int(answer.headers["x-generation"])
        return f"begun under {before}, answered by {shown}" if shown < before else ""

    with Origin() as origin, gateway(config(origin, 1), workers=2) as running:
        pids = running.worker_pids()
        callers = Callers(running.port, "/games", 4, before=lambda: acknowledged, check=check)
        with callers, httpx.Client(trust_env=False) as client:
            memory = 0
            for number in range(2, RELOADS + 2):
                if number % 10 == 5:
                    running.write(config(origin, number).replace("upstream: origin", "upstream: orgin"))
                    answer = reload(running, client)
                    assert answer.status_code == 422, answer.text
                    assert "orgin" in answer.json()["error"]
                else:
                    running.write(config(origin, number))
                    answer = reload(running, client)
                    assert answer.status_code == 200, answer.text
                    acknowledged = number
                if number == RELOADS // 4:
                    memory = max(map(resident_bytes, pids))
            grown = max(map(resident_bytes, pids)) - memory
        assert callers.failures == []
        assert callers.done > RELOADS
        assert running.metric("gateway_requests_total", code="") == callers.done
        status = running.ask("/api/status").json()
        # The watcher of files may be faster than the POST, or find the same bad file again.
        assert running.metric("gateway_config_reloads_total", result="ok") == RELOADS - RELOADS // 10
        assert running.metric("gateway_config_reloads_total", result="bad_file") >= RELOADS // 10
        assert status["generation"] == 1 + RELOADS - RELOADS // 10
        assert [worker["generation"] for worker in status["workers"]] == [status["generation"]] * 2
        assert all(worker["generations"] <= 2 for worker in status["workers"]), "old generations are kept"
        assert running.worker_pids() == pids
        assert grown < 8 * 1024 * 1024, f"memory grew by {grown} bytes over {RELOADS * 3 // 4} reloads"


def test_a_call_ends_under_the_configuration_it_began_with() -> None:
    with Origin() as origin, gateway(config(origin, 1)) as running:
        answers: list[httpx.Response] = []
        caller = threading.Thread(target=lambda: answers.append(httpx.get(running.url + "/held", timeout=30)))
        caller.start()
        assert origin.arrived.wait(10)
        for number in range(2, 5):  # also the upstream is another one each time
            running.write(config(origin, number).replace("response: 20s", f"response: {20 + number}s"))
            assert reload(running).status_code == 200
            assert get(running, "/games").headers["x-generation"] == str(number)
        assert running.ask("/api/status").json()["workers"][0]["generations"] >= 2
        origin.release.set()
        caller.join()
        assert (answers[0].status_code, answers[0].headers["x-generation"]) == (200, "1")
        assert answers[0].text == "the whole"
        reload(running)
        running.write(config(origin, 5))
        reload(running)
        assert running.ask("/api/status").json()["workers"][0]["generations"] <= 2


def test_a_bad_file_changes_nothing_and_is_told_loudly() -> None:
    with Origin() as origin, gateway(config(origin, 1)) as running:
        running.write(config(origin, 2).replace("headers:", "haeders:"))
        told = running.wait_for_line("reload refused, generation 1 serves on")
        assert '"level": "error"' in told or "ERROR" in told
        eventually(lambda: running.metric("gateway_config_reloads_total", result="bad_file") >= 1)
        status = running.ask("/api/status").json()
        assert status["generation"] == 1
        assert "routes.yaml:" in status["last_reload_error"]
        assert "headers" in status["last_reload_error"]
        assert get(running, "/games").headers["x-generation"] == "1"
        assert running.ask("/readyz").status_code == 200
        running.write(config(origin, 3))
        eventually(lambda: get(running, "/games").headers["x-generation"] == "3")
        assert running.ask("/api/status").json()["last_reload_error"] == ""


def test_a_changed_file_is_noticed_also_in_policies() -> None:
    text = """
        version: 1
        upstreams:
          origin: {targets: [{url: {env: ORIGIN}}]}
        routes:
          - {name: told, match: {methods: [GET], path: "/*"}, upstream: origin, policies: [told]}
    """

    def told(word: str) -> dict[str, str]:
        return {"told": f"- headers: {{response: {{set: {{x-told: {word}}}}}}}"}

    with Origin() as origin, gateway(text, told("one"), {"ORIGIN": origin.url}, workers=2) as running:
        assert get(running, "/games").headers["x-told"] == "one"
        running.write(text, told("two"))
        running.wait_for_line("generation 2 serves")
        assert {get(running, "/games").headers["x-told"] for _ in range(8)} == {"two"}


def test_a_hangup_signal_reloads(tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere"
    secret.write_text("one")
    with Origin() as origin:
        text = config(origin, 1).replace('"1"', f"{{file: {secret}}}")
        with gateway(text) as running:
            assert get(running, "/games").headers["x-generation"] == "one"
            running.process.send_signal(signal.SIGHUP)  # no file changed: nobody else can have asked for it
            running.wait_for_line("nothing changed")
            assert running.metric("gateway_config_reloads_total", result="unchanged") == 1
            secret.write_text("two")
            running.process.send_signal(signal.SIGHUP)
            running.wait_for_line("generation 2 serves")
            assert get(running, "/games").headers["x-generation"] == "two"
            assert running.metric("gateway_config_generation") == 2


STATEFUL = """
    version: 1
    upstreams:
      origin: {{targets: [{{url: "{url}"}}]}}
      gone: {{targets: [{{url: "http://127.0.0.1:{port}"}}]}}
    routes:
      - name: cached
        match: {{methods: [GET], path: /cached}}
        upstream: origin
        policies: [{{cache: {{ttl: 1h}}}}]
      - name: limited
        match: {{methods: [GET], path: /limited}}
        upstream: origin
        policies: [{{rate_limit: {{by: route, rate: 3/hour}}}}]
      - name: broken
        match: {{methods: [GET], path: /broken}}
        upstream: gone
        policies: [{{circuit_breaker: {{failures: 2, reset_after: 1h}}}}]
      - name: other
        match: {{methods: [GET], path: /other}}
        upstream: origin
        policies: [{{headers: {{response: {{set: {{x-generation: "{number}"}}}}}}}}]
"""


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_what_did_not_change_keeps_its_cache_its_breaker_and_its_counts(closed_port: int) -> None:
    with Origin() as origin:
        with gateway(STATEFUL.format(url=origin.url, port=closed_port, number=1)) as running:
            assert get(running, "/cached").status_code == 200
            assert [get(running, "/limited").status_code for _ in range(2)] == [200, 200]
            assert [get(running, "/broken").json()["code"] for _ in range(3)] == [
                "UPSTREAM_UNREACHABLE", "UPSTREAM_UNREACHABLE", "CIRCUIT_OPEN"
            ]  # fmt: skip
            for number in (2, 3):
                running.write(STATEFUL.format(url=origin.url, port=closed_port, number=number))
                assert reload(running).status_code == 200
                assert get(running, "/other").headers["x-generation"] == str(number)
                assert "hit" in get(running, "/cached").headers["cache-status"]
                assert get(running, "/broken").json()["code"] == "CIRCUIT_OPEN"
            assert [get(running, "/limited").status_code for _ in range(2)] == [200, 429]
        assert origin.seen == {"/cached": 1, "/limited": 3, "/other": 2}
