"""Contenders that need nothing but Python are called for real; of the others is shown what can be without."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.contenders import CONTENDERS, KEY, Contender, Setting
from bench.contenders import gateway as gateway_contender
from bench.contenders import recipe as recipe_contender
from bench.contenders.contender import NETWORKS, fill, known, program
from bench.contenders.gateway import POLICIES, bearer, configuration
from bench.origin import Origin
from bench.processes import StartError, free_port
from bench.recipes.breaker import Breaker
from bench.recipes.settings import Settings
from bench.sink import Count, Sink, sink
from gateway.config import load
from tests.bench.serving import Received, Served, serving

CORE = min(os.sched_getaffinity(0))
WORKING = ["gateway", "starlette-httpx", "bare"]
"""Contenders that run with what the tests have."""


@pytest.fixture(autouse=True)
def any_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are content with the cores they have."""
    for module in (gateway_contender, recipe_contender):
        monkeypatch.setattr(module, "PROXY_CORE", CORE)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    with sink(tmp_path_factory.mktemp("sink"), core=CORE) as running:
        yield running


class World:
    """An origin that remembers what it got, and a contender's setting in front of it."""

    def __init__(self, directory: Path, origin_port: int, collector: Sink, received: list[Received]) -> None:
        self.origin = Origin(origin_port, 0, directory / "ca.pem", None)  # type: ignore[arg-type]
        self.directory, self.collector, self.received = directory, collector, received

    def setting(self, **more: Any) -> Setting:
        return Setting(self.directory, free_port(), self.origin, self.collector, **more)


@pytest.fixture
def world(tmp_path: Path, collector: Sink) -> Iterator[World]:
    received: list[Received] = []

    def answer(call: Received) -> Served:
        received.append(call)
        if call.target.startswith("/down"):
            return Served(503, {"content-type": "application/json"}, b'{"error":"down"}')
        chunks = call.target.startswith("/chunks")
        return Served(200, {"content-type": "application/json", "x-origin": "test"}, b'{"games":[]}', chunks)

    with serving(answer) as port:
        yield World(tmp_path, port, collector, received)


def call(
    port: int, method: str, path: str, *, key: str = KEY, body: bytes | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, ({"x-api-key": key} if key else {}) | headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def counted(collector: Sink, enough: Callable[[Count], bool]) -> Count:
    until = time.monotonic() + 5
    while not enough(count := collector.count()) and time.monotonic() < until:
        time.sleep(0.05)
    return count


def test_every_contender_says_what_it_is() -> None:
    assert [contender.name for contender in CONTENDERS.values()] == list(CONTENDERS)
    assert list(CONTENDERS) == [
        "gateway", "gateway-interpreted", "nginx", "haproxy", "envoy", "envoy-untraced", "traefik", "caddy",
        "starlette-httpx", "aiohttp", "bare",
    ]  # fmt: skip
    assert all(contender.traces or contender.note for contender in CONTENDERS.values())
    assert len({contender.title for contender in CONTENDERS.values()}) == len(CONTENDERS)


@pytest.mark.parametrize("contender", CONTENDERS.values(), ids=lambda contender: contender.name)
def test_options_that_nobody_knows_are_refused(contender: Contender, world: World) -> None:
    with pytest.raises(ValueError, match="no such option here: wings"):
        contender.start(world.setting(options={"wings": 2}))


@pytest.mark.parametrize("name", WORKING)
def test_calls_are_forwarded_refused_traced_and_retried(name: str, world: World) -> None:
    contender = CONTENDERS[name]
    setting = world.setting()
    world.collector.reset()
    with contender.start(setting):
        body = os.urandom(300)
        status, headers, answer = call(
            setting.port, "POST", "/games/x?a=%20b&c", body=body, **{"x-more": "1"}
        )
        assert (status, answer, headers["x-origin"]) == (200, b'{"games":[]}', "test")
        [received] = world.received
        assert (received.method, received.target, received.body) == ("POST", "/games/x?a=%20b&c", body)
        arrived = dict(received.headers)
        assert arrived["x-more"] == "1"
        assert arrived["host"] == f"127.0.0.1:{world.origin.port}"
        assert ("traceparent" in arrived) == contender.traces
        assert ("x-api-key" in arrived) != contender.guards
        calls = 1
        if contender.guards:
            calls += 2
            assert call(setting.port, "GET", "/games/x", key="")[0] == 401
            assert call(setting.port, "GET", "/games/x", key="wrong")[0] == 401
        if contender.traces:
            count = counted(world.collector, lambda count: count.traces >= calls)
            assert count.traces == calls
            assert count.spans >= calls
        if contender.guards:
            assert call(setting.port, "GET", "/down")[0] == 503
            assert call(setting.port, "POST", "/down", body=b"1")[0] == 503
            assert [received.method for received in world.received] == ["POST", "GET", "GET", "POST"], (
                "what is idempotent is tried once more"
            )


def test_the_bare_protocols_keep_the_order_of_pipelined_calls(world: World) -> None:
    setting = world.setting()
    with (
        CONTENDERS["bare"].start(setting),
        socket.create_connection(("127.0.0.1", setting.port), 10) as caller,
    ):
        caller.sendall(
            b"GET /games/1 HTTP/1.1\r\nhost: a\r\n\r\n"
            b"POST /chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            b"GET /down HTTP/1.1\r\nhost: a\r\n\r\n"
        )
        answers = b""
        while not answers.endswith(b'{"error":"down"}'):
            answers += caller.recv(65536)
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert answers.count(b"content-length: 12\r\n\r\n") == 2, "a chunked answer has a length now"
        assert b"HTTP/1.1 503 Service Unavailable\r\n" in answers
    assert [call.target for call in world.received] == ["/games/1", "/chunks", "/down"]
    assert world.received[1].body == b"ab"


def test_the_bare_protocols_answer_502_where_the_origin_is_gone(world: World) -> None:
    setting = Setting(world.directory, free_port(), Origin(free_port(), 0, Path(), None), world.collector)  # type: ignore[arg-type]
    with CONTENDERS["bare"].start(setting):
        assert call(setting.port, "GET", "/games")[0] == 502


def test_a_wallet_callback_comes_from_the_provider(world: World) -> None:
    setting = world.setting(options={"wallet": True, "jwt": True})
    with CONTENDERS["gateway"].start(setting):
        token = {"authorization": bearer("studio")}
        assert call(setting.port, "POST", "/callbacks/games", key="", body=b"1", **token)[0] == 200
        assert world.received[-1].target == "/games"
        stranger = {"authorization": bearer("platform")}
        assert call(setting.port, "POST", "/callbacks/games", key="", body=b"1", **stranger)[0] == 401


@pytest.mark.parametrize(
    "options",
    [
        {"policies": []},
        {"policies": ["ip_allow_list", {"concurrency": {"max": 64}}]},
        {"jwt": True},
        {"wallet": True},
        {"wallet": True, "jwt": True},
        {"cache": True},
        {"routes": 40},
        {"workers": 2},
        {"access_log": True},
    ],
    ids=str,
)
def test_what_the_options_say_is_a_configuration(options: dict[str, Any], world: World) -> None:
    written = configuration(world.setting(options=options))
    path = world.directory / "routes.yaml"
    path.write_text(json.dumps(written))
    config = load(path, {})
    assert len(config.routes) == options.get("routes", 7 if "wallet" in options else 6)


def test_the_options_are_found_in_the_configuration(world: World) -> None:
    def policies(**options: Any) -> list[str]:
        written = configuration(world.setting(options=options))["routes"][0]["policies"]
        return [name for policy in written for name in policy]

    assert policies() == list(POLICIES)
    assert policies(policies=["retry", "ip_allow_list"]) == ["retry", "ip_allow_list"]
    assert policies(cache=True)[:4] == ["ip_allow_list", "authentication", "rate_limit", "cache"]
    assert policies(cache=True)[4:] == ["circuit_breaker", "retry", "timeout"]
    assert policies(wallet=True) == ["ip_allow_list", "authentication", "timeout"]
    over_tls = configuration(world.setting(options={"upstream": "tls"}))["upstreams"]["origin"]
    assert over_tls["tls"] == {"ca": str(world.origin.ca_file)}
    silent = configuration(world.setting(tracing=False))["telemetry"]
    assert silent["traces"]["sample"] == "0%"


def test_templates_are_filled_whole() -> None:
    assert fill("listen @port@; key @key@", port=80, key="k") == "listen 80; key k"
    with pytest.raises(KeyError):
        fill("listen @port@")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(StartError, match="no-such-proxy is not installed"):
        program("no-such-proxy")
    with pytest.raises(ValueError, match="there are: none"):
        known({"x": 1})


def test_a_recipe_is_told_its_settings() -> None:
    command = ["--port", "1", "--origin", "2", "--key", "k", "--networks", *NETWORKS, "--traces", "http://c"]
    assert Settings.read(command) == Settings(1, "127.0.0.1:2", "k", NETWORKS, "http://c")
    assert Settings.read(command[:4]) == Settings(1, "127.0.0.1:2")


def test_a_breaker_opens_and_lets_one_call_try() -> None:
    breaker = Breaker(failures=2, reset_seconds=0.05)
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    time.sleep(0.06)
    assert breaker.allows()
    assert not breaker.allows(), "only one"
    breaker.succeeded()
    assert breaker.allows()
    breaker.failed()
    assert breaker.allows()
