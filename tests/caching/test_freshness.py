from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.freshness import DELTA_MAX, delta, directives, freshness, http_date, why_not_stored

NOW = 1_700_000_000.0


def date(seconds: float) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def control(value: bytes):
    return (b"cache-control", value)


def fresh(*headers, requested=NOW, received=NOW, ttl=60.0, **more):
    return freshness(list(headers), requested=requested, received=received, ttl=ttl, **more)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"max-age=5, PUBLIC"], {"max-age": "5", "public": ""}),
        ([b'private="set-cookie, x", max-age="7"'], {"private": "set-cookie, x", "max-age": "7"}),
        ([b"max-age=5", b"max-age=9"], {"max-age": "5"}),
        ([b'ext="a\\"b", no-store'], {"ext": 'a\\"b', "no-store": ""}),
        ([b",,"], {}),
        ([b"max-age= 5 ,x"], {"max-age": "5", "x": ""}),
        ([b"\xff, no-store"], {"no-store": ""}),
    ],
)
def test_directives(values, found):
    assert directives(values) == found


@given(st.binary(max_size=60))
def test_no_field_value_breaks_the_reader(value):
    directives([value])
    fresh(control(value), (b"age", value), (b"date", value), (b"expires", value))
    why_not_stored(200, [control(value), (b"vary", value)])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("60", 60),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("٣", 0),
        ("9" * 10, DELTA_MAX),
        ("9" * 5000, DELTA_MAX),
    ],
)
def test_delta_seconds(text, seconds):
    assert delta(text) == seconds


@pytest.mark.parametrize(
    "text", [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"]
)
def test_http_dates_in_all_three_forms(text):
    assert http_date(text) == 784111777


@pytest.mark.parametrize("text", [None, b"", b"0", b"never", b"Sun, 06 Nov 99999999 08:49:37 GMT", b"\xff"])
def test_what_is_no_http_date(text):
    assert http_date(text) is None


@given(st.integers(0, 4_000_000_000))
def test_http_dates_round_trip(seconds):
    assert http_date(date(seconds)) == seconds


ages = st.integers(0, 10_000)


@given(ages, ages, ages, ages, ages)
def test_age_and_lifetime_are_those_of_the_rfc(max_age, age_value, since_date, delay, ttl):
    requested = NOW - delay
    headers = [
        control(b"max-age=%d" % max_age),
        (b"age", b"%d" % age_value),
        (b"date", date(NOW - since_date)),
    ]
    found = fresh(*headers, requested=requested, ttl=float(ttl))
    assert found.lifetime == max_age
    assert found.initial_age == max(since_date, age_value + delay)  # RFC 9111 §4.2.3, in its own words
    ours = fresh(*headers, requested=requested, ttl=float(ttl), override=True)
    assert ours.lifetime - ours.initial_age == ttl
    plain = fresh(*headers[1:], requested=requested, ttl=float(ttl))
    assert plain.lifetime - plain.initial_age == ttl


@given(st.integers(-5_000, 5_000), st.integers(-5_000, 5_000))
def test_expires_counts_from_the_date(until, made):
    found = fresh((b"expires", date(NOW + until)), (b"date", date(NOW + made)))
    assert found.lifetime == max(0, until - made)
    assert fresh((b"expires", date(NOW + until))).lifetime == max(0, until)


def test_a_wrong_expires_is_in_the_past():
    assert fresh((b"expires", b"0")).lifetime == 0


@given(ages, ages)
def test_a_shared_cache_goes_by_s_maxage(shared, private):
    found = fresh(control(b"max-age=%d, s-maxage=%d" % (private, shared)), (b"expires", date(NOW)))
    assert found.lifetime == shared


@pytest.mark.parametrize(
    ("told", "override", "strict", "while_revalidate", "if_error"),
    [
        (b"max-age=1", False, False, 10, 20),
        (b"max-age=1, must-revalidate", False, True, 0, 0),
        (b"max-age=1, proxy-revalidate, stale-if-error=5", False, True, 0, 0),
        (b"no-cache", False, True, 0, 0),
        (b"s-maxage=1", False, True, 0, 0),
        (b"s-maxage=1", True, False, 10, 20),
        (b"s-maxage=1, stale-if-error=5", False, False, 0, 5),
        (b"s-maxage=1, stale-while-revalidate=5", False, False, 5, 0),
        (b"max-age=1, stale-while-revalidate=5, stale-if-error=0", False, False, 5, 0),
    ],
)
def test_when_stale_use_is_allowed(told, override, strict, while_revalidate, if_error):
    found = fresh(control(told), override=override, stale_while_revalidate=10.0, stale_if_error=20.0)
    assert (found.strict, found.stale_while_revalidate, found.stale_if_error) == (
        strict,
        while_revalidate,
        if_error,
    )
    assert found.validate == (told == b"no-cache")


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [
        (200, [], ""),
        (301, [], ""),
        (302, [], "status"),
        (302, [control(b"max-age=1")], ""),
        (404, [(b"expires", b"0")], ""),
        (404, [], "status"),
        (206, [control(b"max-age=1")], "status"),
        (500, [control(b"s-maxage=1")], "status"),
        (200, [control(b"no-store")], "no-store"),
        (200, [control(b"max-age=5"), control(b"PRIVATE")], "private"),
        (200, [control(b'private="x"')], "private"),
        (200, [(b"set-cookie", b"a=b")], "set-cookie"),
        (200, [(b"vary", b"accept, *")], "vary"),
        (200, [(b"vary", b"accept")], ""),
    ],
)
def test_what_a_shared_cache_may_store(status, headers, why):
    assert why_not_stored(status, headers) == why
