"""The verifier finds what a proxy does wrong, and nothing in one that does right."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.caller import TOLD, Answer, Call, Verdict, Verifier, arrivals, differences, refusal
from tests.bench.serving import Received, Served, serving

KEY = "the-key"
GAMES = Served(headers={"Content-Type": "application/json", "X-Origin": "bench"}, body=b'{"games": []}')

Twist = Callable[[Received, Served], Served]
"""What a proxy makes of an answer."""


def origin(call: Received) -> Served:
    if not call.target.startswith("/echo"):
        return GAMES
    told = {
        "method": call.method,
        "target": call.target,
        "headers": call.headers,
        "sha256": hashlib.sha256(call.body).hexdigest(),
        "length": len(call.body),
    }
    return Served(body=json.dumps(told).encode())


def verdict(
    twist: Twist = lambda _, served: served, *, guarded: bool = True, traced: str = "", **more: object
) -> Verdict:
    """Of a proxy that does right but for the twist. `traced`: the traceparent it sends, * for a right one."""

    def proxy(call: Received) -> Served:
        if guarded and ("x-api-key", KEY) not in call.headers:
            return Served(status=401)
        headers = [(name, value) for name, value in call.headers if name != "x-api-key"]
        if traced:
            right = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
            headers.append(("traceparent", right if traced == "*" else traced))
        return twist(call, origin(replace(call, headers=headers)))

    with serving(origin) as behind, serving(proxy) as port:
        verifier = Verifier(port, KEY, behind, rate=1000, traced=bool(traced), **more)  # type: ignore[arg-type]
        verifier.start()
        until = time.monotonic() + 20
        while verifier.calls < 20 and time.monotonic() < until:
            time.sleep(0.01)
        assert f"{verifier.calls} calls" in repr(verifier) or verifier.calls > 20
        return verifier.stop()


def test_a_proxy_that_does_right() -> None:
    found = verdict(traced="*")
    assert found.faults == []
    assert found.calls >= 20
    assert 0 < found.refused < found.calls / 4


def test_one_that_adds_what_it_may() -> None:
    def adds(_: Received, served: Served) -> Served:
        more = {"X-Envoy-Time": "3", "RateLimit": "9", "Via": "1.1 it", "Keep-Alive": "timeout=5"}
        return replace(served, headers={**served.headers, **more}, chunks=True)

    assert verdict(adds, additions=("X-Envoy-*", "ratelimit")).faults == []
    faults = verdict(adds, additions=("x-envoy-*",)).faults
    assert "GET /games: ratelimit: ['9'] was added" in faults


@pytest.mark.parametrize(
    ("twist", "fault"),
    [
        (lambda _, served: replace(served, status=202), "GET /games: status 202, not 200"),
        (
            lambda call, served: replace(served, body=served.body + b" "),
            "POST /games: a body of 14 bytes that begins b'{\"games\": []} ', not the origin's",
        ),
        (
            lambda call, served: replace(served, headers={"Content-Type": "application/json"}),
            "GET /games: x-origin: missing, not ['bench']",
        ),
        (
            lambda call, served: replace(served, headers={**served.headers, "X-Origin": "else"}),
            "GET /games: x-origin: ['else'], not ['bench']",
        ),
        (lambda _, served: replace(served, body=b"?"), "POST /echo?call=0: no JSON: b'?'"),
        (lambda _, served: replace(served, status=500), "POST /echo?call=0: status 500, not 200"),
    ],
)
def test_one_that_changes_answers(twist: Twist, fault: str) -> None:
    assert any(told.startswith(fault) for told in verdict(twist).faults)


def test_one_without_a_lock() -> None:
    faults = verdict(guarded=False).faults
    assert set(faults) == {
        "GET /games: status 200 without a valid key, not 401",
        "POST /games: status 200 without a valid key, not 401",
    }


def test_one_that_needs_none() -> None:
    with serving(origin) as port:
        verifier = Verifier(port, KEY, port, rate=1000, guarded=False)
        verifier.start()
        time.sleep(0.1)
        found = verifier.stop()
    assert (found.faults, found.refused) == ([], 0)


def test_faults_beyond_some_are_counted() -> None:
    found = verdict(lambda _, served: replace(served, status=500))
    assert len(found.faults) <= TOLD + 1
    assert found.faults[-1].startswith("and ") == (len(found.faults) > TOLD)


def test_traces() -> None:
    for wrong in ("00-0-0-01", "00-" + "a" * 32 + "-" + "b" * 16 + "-00"):
        assert any("not one of a sampled trace" in fault for fault in verdict(traced=wrong).faults)
    same = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert any("was another call's" in fault for fault in verdict(traced=same).faults)


def test_one_that_is_gone() -> None:
    with serving(origin) as behind:
        verifier = Verifier(1, KEY, behind, rate=1000)
        verifier.start()
        while verifier.calls < 3:
            time.sleep(0.01)
        found = verifier.stop()
        assert found.faults[0] == "GET /games: ConnectionRefusedError: [Errno 111] Connection refused"
        with pytest.raises(ConnectionRefusedError):
            Verifier(behind, KEY, 1).start()


def test_what_arrives() -> None:
    sent = Call("POST", "/echo", (("x-api-key", KEY), ("x-a", "1")), b"abc")
    told: dict[str, object] = {"method": "POST", "target": "/echo", "length": 3}
    told["sha256"] = hashlib.sha256(b"abc").hexdigest()
    right = (("host", "h"), ("x-a", "1"), ("x-added", "2"))
    assert arrivals(told, right, sent) == []
    assert arrivals(told, (*right, ("x-api-key", KEY)), sent) == []
    assert arrivals({**told, "target": "/other"}, right, sent) == [
        "the origin received target '/other', not '/echo'"
    ]
    assert arrivals({**told, "length": 2}, right, sent) == ["the origin received length 2, not 3"]
    assert arrivals(told, (), sent) == ["the origin received x-a: not at all, not ['1']"]
    assert arrivals(told, (*right, ("x-a", "1")), sent) == ["the origin received x-a: ['1', '1'], not ['1']"]
    assert arrivals(told, (*right, ("x-api-key", "else")), sent) == [
        f"the origin received x-api-key: ['else'], not ['{KEY}']"
    ]


def test_differences_between_lists_of_one_name() -> None:
    wanted = Answer(200, (("vary", "a"), ("vary", "b"), ("date", "then")), b"")
    assert differences(Answer(200, (("date", "now"), ("vary", "a"), ("vary", "b")), b""), wanted) == []
    assert differences(Answer(200, (("vary", "b"), ("vary", "a")), b""), wanted) == [
        "vary: ['b', 'a'], not ['a', 'b']"
    ]
    assert refusal(Answer(401, (), b"whatever")) == []
