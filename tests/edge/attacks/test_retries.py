"""Family 32: an origin that fails everything is hardly asked more often; what may not be repeated is not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.scenarios.running import Gateway, gateway
from tests.scenarios.scripted import Request, ScriptedOrigin, answer, call_all

pytestmark = pytest.mark.attack(32)

Script = Callable[[Request], bytes]


def always(told: bytes) -> Script:
    return lambda _: told


class EverySecond:
    """Drops the connection at every second call, and fails the others."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, _: Request) -> bytes:
        self.number += 1
        return b"" if self.number % 2 else answer(503, b"down")


FAILURES: dict[str, Script] = {
    "500": always(answer(500, b"down")),
    "502": always(answer(502, b"down")),
    "503": always(answer(503, b"down")),
    "a reset": always(b""),
    "noise": always(b"noise"),
    "a head that is broken": always(b"HTTP/1.1 200 OK\r\nx-a: \0"),
    "a status that there is not": always(answer(600, b"down")),
    "a reset every second time": EverySecond(),
}
POLICIES = {
    "as it is": "",
    "by header": ", budget: 100%, transaction_id: {header: Idempotency-Key}",
    "by body": ", budget: 100%, transaction_id: {json: /id}",
    "without an id": ", budget: 100%",
}
LATE = ("nothing in time", "without an id")
UPSTREAM = """
  "{name}": {{targets: [{{url: "{url}"}}], timeout: {{response: {response}, total: 20s}}}}"""
ROUTE = """
  - name: "{name}"
    match: {{methods: [GET, POST, PUT, PATCH], path: "{path}/*"}}
    upstream: "{name}"
    policies:
      - retry: {{attempts: 3, backoff: {{base: 1ms, max: 2ms}}{more}}}
      - timeout: {{total: 20s}}"""


def path_of(failure: str, policy: str) -> str:
    return f"/{failure}/{policy}".replace(" ", "-")


def name_of(failure: str, policy: str) -> str:
    return path_of(failure, policy)[1:].replace("/", "-")


def config(url: str) -> str:
    """An upstream for each failure under each policy, since all routes to one share its budget."""
    pairs = [(failure, policy) for failure in FAILURES for policy in POLICIES] + [LATE]
    text = "version: 1\nupstreams:"
    for pair in pairs:
        text += UPSTREAM.format(name=name_of(*pair), url=url, response="200ms" if pair == LATE else "10s")
    text += "\nroutes:"
    for pair in pairs:
        text += ROUTE.format(name=name_of(*pair), path=path_of(*pair), more=POLICIES[pair[1]])
    return text + "\n"


def script(request: Request) -> bytes:
    failure = request.line.split("/")[1].replace("-", " ")
    return FAILURES.get(failure, always(b"HTTP/1.1 100 Continue\r\n\r\n"))(request)


@pytest.fixture(scope="module")
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin(script) as origin:
        yield origin


@pytest.fixture(scope="module")
def edge(origin: ScriptedOrigin) -> Iterator[Gateway]:
    with gateway(config(origin.url)) as running:
        yield running


def request(method: str, path: str, number: int, fields: str = "", body: bytes = b"") -> bytes:
    line = f"{method} {path}/{number} HTTP/1.1"
    return f"{line}\r\nhost: gateway\r\n{fields}content-length: {len(body)}\r\n\r\n".encode() + body


def call(
    edge: Gateway, origin: ScriptedOrigin, requests: list[bytes], connections: int
) -> tuple[list[tuple[int, bytes]], Counter[str]]:
    """The answers, and how often the origin saw each path."""
    before = len(origin.seen)
    told = call_all(edge.port, requests, connections)
    assert len(told) == len(requests)
    return list(told.values()), Counter(seen.line.split()[1] for seen in origin.seen[before:])


@pytest.mark.parametrize("failure", FAILURES)
def test_an_origin_that_fails_everything_is_hardly_asked_more_often(
    failure: str, edge: Gateway, origin: ScriptedOrigin
) -> None:
    """Less than 1.2 times; ten calls more at most while a budget owes for calls that were begun anew."""
    calls, path = 300, path_of(failure, "as it is")
    told, seen = call(edge, origin, [request("GET", path, number) for number in range(calls)], 16)
    assert all(status >= 500 for status, _ in told)
    assert len(seen) == calls
    begun_anew = "every second" in failure  # where a kept connection ended under a call
    assert calls < seen.total() < 1.2 * calls + (10 if begun_anew else 0)
    assert max(seen.values()) <= (8 if begun_anew else 4), "three retries at most"


BODIES = (
    ("", b'{"amount": 5}'),
    ("idempotency-key:\r\n", b'{"amount": 5, "id": ""}'),
    ("x-request-id: 7\r\n", b'{"transaction": {"id": 7}}'),
    ("", b'{"id": 7'),
)
"""None of them carries a transaction id where one is looked for."""


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("failure", FAILURES)
def test_what_carries_no_transaction_id_is_never_sent_twice(
    failure: str, policy: str, edge: Gateway, origin: ScriptedOrigin
) -> None:
    path = path_of(failure, policy)
    bets = [
        request(("POST", "PATCH")[number % 2], path, 1000 + number, *BODIES[number // 2 % len(BODIES)])
        for number in range(40)
    ]
    told, seen = call(edge, origin, bets, 4)
    assert all(status >= 500 for status, _ in told)
    assert set(seen.values()) == {1}
    assert len(seen) == len(bets)


def test_one_that_carries_it_is_sent_again_and_so_is_what_may_be_repeated(
    edge: Gateway, origin: ScriptedOrigin
) -> None:
    """The control: the same failure, and a reason to try again."""
    path = path_of("503", "by header")
    key = "idempotency-key: 7\r\n"
    bets = [request("POST", path, 1, key), request("PUT", path, 2), request("POST", path, 3)]
    _, seen = call(edge, origin, bets, 1)
    assert seen == {f"{path}/1": 4, f"{path}/2": 4, f"{path}/3": 1}


def test_a_bet_that_is_answered_too_late_is_not_sent_again(edge: Gateway, origin: ScriptedOrigin) -> None:
    """It was sent, and nobody knows what came of it: so the error says."""
    path = path_of(*LATE)
    told, seen = call(edge, origin, [request("POST", path, number) for number in range(4)], 4)
    assert [status for status, _ in told] == [504] * 4
    assert not any(json.loads(body)["retryable"] for _, body in told)
    assert set(seen.values()) == {1}
