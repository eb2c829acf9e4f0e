from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.request import CONDITIONS, NOISE, UNCACHED, aside, ask
from tests.support import make_exchange

names = st.sampled_from(sorted({b"accept", b"x-a", b"x-b", b"cookie"} | NOISE | CONDITIONS | UNCACHED))
headers = st.lists(st.tuples(names, st.sampled_from([b"1", b"2", b"no-cache"])), max_size=6)


@given(headers, headers, st.sampled_from([None, frozenset({b"x-a", b"user-agent"})]))
def test_two_calls_have_one_key_exactly_when_they_forward_the_same(first, second, keyed):
    one = ask(make_exchange(headers=first), "owner", keyed, by_consumer=False)
    two = ask(make_exchange(headers=second), "owner", keyed, by_consumer=False)
    for asked, sent in ((one, first), (two, second)):
        assert (asked is None) == any(name in UNCACHED for name, _ in sent) or asked is None
    if one is not None and two is not None:
        assert (one.key == two.key) == (one.kept == two.kept)
        assert not {name for name, _ in one.kept} & (CONDITIONS | UNCACHED)


def test_a_call_made_aside_has_a_course_of_its_own():
    exchange = make_exchange(headers=[(b"a", b"1")], query="q=1", client="192.0.2.1")
    exchange.trace_id, exchange.target, exchange.deadline, exchange.code = "ab", "/t", 5.0, "TEMPORARY"
    exchange.span_id = "c" * 16
    twin = aside(exchange, "d" * 16)
    assert (twin.span_id, twin.parent_id) == ("d" * 16, "c" * 16)
    assert (twin.trace_id, twin.target, twin.query, twin.client) == ("ab", "/t", "q=1", "192.0.2.1")
    assert (twin.deadline, twin.code, twin.attempts, twin.decisions) == (None, "", [], [])
    twin.headers.append((b"b", b"2"))
    assert exchange.headers == [(b"a", b"1")]
