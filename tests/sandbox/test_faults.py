"""What may be ordered, and whom it strikes: no sockets needed."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sandbox.faults import Calls, Fault, Faults


def make(**order: Any) -> Faults:
    faults = Faults()
    faults.order(Fault.read(order))
    return faults


def test_without_orders_nobody_suffers() -> None:
    assert Faults().meet("/") is None


def test_a_fault_strikes_its_path_so_many_times() -> None:
    faults = make(status=500, path="/v1/", times=2)
    assert [bool(faults.meet(path)) for path in ("/health", "/v1/a", "/v1/b", "/v1/c")] == [
        False, True, True, False,
    ]  # fmt: skip
    assert faults.struck == 2


def test_a_share_of_calls_the_same_calls_every_time() -> None:
    def struck() -> list[bool]:
        faults = make(reset=True, rate=0.25)
        return [bool(faults.meet("/")) for _ in range(400)]

    assert struck() == struck()
    assert 60 < sum(struck()) < 140
    assert not any(make(status=500, rate=0).meet("/") for _ in range(50))


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ([], "JSON object"),
        ({"explode": True}, "no fault is called 'explode'"),
        ({"latency_ms": 1.5}, "latency_ms is a int"),
        ({"latency_ms": -1}, "never negative"),
        ({"times": -1}, "never negative"),
        ({"status": 99}, "200 to 599"),
        ({"status": True}, "status is a int"),
        ({"reset": 1}, "reset is a bool"),
        ({"rate": 2}, "from 0 to 1"),
        ({"rate": True}, "from 0 to 1"),
        ({"bad_body": "ugly"}, "short or garbage"),
        ({"bad_body": []}, "short or garbage"),
        ({"status": 500, "reset": True}, "give one"),
        ({"outage": True, "path": "/v1"}, "an outage is total"),
        ({"outage": True, "times": 1}, "an outage is total"),
    ],
)
def test_orders_that_make_no_sense(order: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Fault.read(order)


def test_the_last_calls_are_kept_and_all_are_counted() -> None:
    calls = Calls(keep=2)
    for number in range(3):
        calls.note("GET", f"/games?page={number}", [(b"accept", b"*/*")])
    told = calls.show()
    assert (told["total"], told["by_path"]) == (3, {"GET /games": 3})
    assert [one["target"] for one in told["last"]] == ["/games?page=1", "/games?page=2"]
    calls.clear()
    assert calls.show() == {"total": 0, "by_path": {}, "last": []}
