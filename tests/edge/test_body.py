from __future__ import annotations

import pytest

from gateway.edge.body import SMALL_REST, RequestBody
from gateway.edge.limits import EdgeLimits
from gateway.errors import Refused


def test_a_counted_body_ends_where_it_said():
    body = RequestBody(5, False, 10, False)
    assert (body.take(b"hel"), body.complete, body.small_rest) == (b"hel", False, True)
    assert (body.take(b"lo GET"), body.complete, body.rest) == (b"lo", True, b" GET")
    assert body.received == 5


def test_a_chunked_body_ends_where_it_says():
    body = RequestBody(0, True, 10, False)
    assert (body.take(b"5\r\nhel"), body.complete, body.small_rest) == (b"hel", False, False)
    assert (body.take(b"lo\r\n0\r\n\r\nGET"), body.complete, body.rest) == (b"lo", True, b"GET")


def test_limits():
    with pytest.raises(Refused, match="BODY_TOO_LARGE"):
        RequestBody(11, False, 10, False)
    body = RequestBody(0, True, 10, False)
    body.take(b"a\r\n1234567890\r\n")
    with pytest.raises(Refused, match="BODY_TOO_LARGE"):
        body.take(b"1\r\n1\r\n")


def test_a_rest_is_small_only_where_it_is_sure_to_come():
    assert not RequestBody(SMALL_REST + 1, False, 1 << 30, False).small_rest
    body = RequestBody(5, False, 10, True)
    assert not body.small_rest
    assert body.take(b"") == b""
    assert body.expects_continue
    body.take(b"h")
    assert body.small_rest


def test_deadlines_want_progress_and_an_average():
    limits = EdgeLimits(body_timeout=10, slowest_body=100)
    body = RequestBody(10_000, False, 10_000, False)
    assert body.begin_wait(1000, limits) == 1010
    body.take(b"x")
    assert body.deadline(1009, limits) == pytest.approx(1010.01)  # one byte bought 10 ms
    body.take(b"x" * 5000)
    assert body.deadline(1010, limits) == 1020  # fast enough: only progress counts
    assert body.begin_wait(2000, limits) == 2010  # what waited for us in between is not held against it
    body.take(b"x")
    assert body.deadline(2009, limits) == pytest.approx(2010.01)
