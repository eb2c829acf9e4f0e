from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.answer import Answer, matches, merged, not_modified
from gateway.caching.freshness import Freshness
from gateway.exchange import Response

FRESH = Freshness(10.0, 60.0, False, False, 5.0, 9.0)


def answer(*headers, fresh=FRESH, body=b"x"):
    return Answer(200, list(headers), body, received=1000.0, fresh=fresh, tags=("route:games",))


def test_time_makes_it_stale():
    held = answer()
    assert (held.age(1000.0), held.age(1020.0), held.age(900.0)) == (10, 30, 10)
    assert held.is_fresh(1049.9)
    assert not held.is_fresh(1050.0)
    assert held.may_be_stale(1054.9, 5)
    assert not held.may_be_stale(1055.0, 5)
    assert not answer(fresh=FRESH._replace(validate=True)).is_fresh(1000.0)
    assert not answer(fresh=FRESH._replace(strict=True)).may_be_stale(1000.0, 5)


def test_what_is_about_one_call_is_not_stored():
    held = answer(
        (b"age", b"1"),
        (b"set-cookie", b"a"),
        (b"content-length", b"1"),
        (b"ratelimit", b"x"),
        (b"etag", b"e"),
    )
    assert held.headers == [(b"etag", b"e")]
    assert held.etag == b"e"
    assert repr(held) == f"<Answer 200, {held.size} bytes, fresh for 60s>"


def test_headers_count_as_bytes():
    assert answer((b"x-a", b"1" * 1000)).size - answer().size == 1003
    assert answer(body=b"y" * 500).size - answer(body=b"").size == 500


names = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1).map(str.encode)
values = st.binary(max_size=20)


@given(
    st.lists(st.tuples(names, values), max_size=5),
    st.binary(max_size=50),
    st.floats(0, 2e9),
    st.integers(200, 599),
)
def test_bytes_and_back(headers, body, received, status):
    held = Answer(status, headers, body, received=received, fresh=FRESH, tags=("route:games", "tag:x"))
    again = Answer.decode(held.encode())
    assert again is not None
    for name in ("status", "headers", "body", "received", "fresh", "tags", "etag", "last_modified", "size"):
        assert getattr(again, name) == getattr(held, name)


@given(st.binary(max_size=60))
def test_other_bytes_are_nothing(data):
    assert Answer.decode(data) is None
    assert Answer.decode(b"\x01" + data) is None


@pytest.mark.parametrize("head", [b"{}", b"[]", b'{"status": 200, "headers": 5}', b"\xff", b'{"status":[]}'])
def test_a_damaged_head_is_nothing(head):
    assert Answer.decode(b"\x01" + len(head).to_bytes(4, "big") + head) is None


@pytest.mark.parametrize(
    ("asked", "etag", "same"),
    [
        (b"*", None, True),
        (b'"1"', None, False),
        (b'"1"', b'"1"', True),
        (b'W/"1"', b'"1"', True),
        (b'"0", "1"', b'W/"1"', True),
        (b'"2"', b'"1"', False),
    ],
)
def test_tags_match_weakly(asked, etag, same):
    assert matches(asked, etag) is same


def test_a_304_brings_newer_headers_and_no_older_date():
    stored = [(b"date", b"old"), (b"x-a", b"1"), (b"content-type", b"text/plain"), (b"x-b", b"1")]
    newer = [(b"x-a", b"2"), (b"content-type", b"wrong")]
    assert merged(stored, newer) == [(b"content-type", b"text/plain"), (b"x-b", b"1"), (b"x-a", b"2")]


def test_only_successes_turn_into_304():
    assert not not_modified(Response(404, [(b"etag", b'"1"')]), b'"1"', None)
    assert not not_modified(Response(200), None, None)
