"""What is found out about a call, and answers that end once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Attempt, Outcome, Response, Stream
from tests.support import make_exchange
from tests.test_stream import drain, streamed


@pytest.mark.parametrize("kind", ["exchange", "response"])
@given(pieces=st.lists(st.binary(min_size=1, max_size=20)), limit=st.integers(0, 100))
async def test_buffering_loses_nothing(kind, pieces, limit):
    stream, whole = streamed(*pieces), b"".join(pieces)
    owner = make_exchange(body=stream) if kind == "exchange" else Response(200, [], stream)
    buffered = await owner.buffer_body(limit)
    if len(whole) <= limit:
        assert buffered == owner.body == whole
    else:
        assert buffered is None
        assert await drain(stream) == whole


async def test_whole_bodies_are_buffered_already():
    assert await make_exchange(body=b"abc").buffer_body(3) == b"abc"
    assert await make_exchange(body=b"abc").buffer_body(2) is None
    assert await Response(200, [], b"abc").buffer_body(3) == b"abc"
    assert await Response(200, [], b"abc").buffer_body(2) is None


def test_an_answer_ends_once_innermost_first():
    response, told = Response(200), []
    response.on_end(lambda outcome: told.append(("first", outcome)))
    response.on_end(lambda outcome: told.append(("second", outcome)))
    response.finish(Outcome.COMPLETE)
    response.finish(Outcome.FAILED)
    assert told == [("first", "complete"), ("second", "complete")]
    response.on_end(lambda outcome: told.append(("late", outcome)))
    assert told[-1] == ("late", "complete")


def test_a_discarded_answer_frees_its_connection():
    class Tunnel:
        closed = False
        received = Stream()

        async def write(self, data):
            raise AssertionError

        def close(self):
            self.closed = True

    stream, told = streamed(b"a"), []
    response = Response(101, [], stream)
    response.tunnel = Tunnel()
    response.on_end(told.append)
    response.discard()
    assert stream.closed
    assert response.tunnel.closed
    assert told == [Outcome.DISCARDED]


@pytest.mark.parametrize("ending", ["broken off", "reader cancelled"])
async def test_an_answer_lost_while_it_is_read_ends_there(ending):
    dropped, told = [], []
    stream = Stream(on_close=lambda: dropped.append(True))
    stream.feed(b'{"code":')
    response = Response(500, [], stream)
    response.on_end(told.append)
    reading = asyncio.ensure_future(response.buffer_body())
    await asyncio.sleep(0)
    if ending == "broken off":
        stream.fail(ConnectionResetError())
    else:
        reading.cancel()
    with pytest.raises(ConnectionResetError if ending == "broken off" else asyncio.CancelledError):
        await reading
    assert dropped == [True]
    assert told == [Outcome.FAILED if ending == "broken off" else Outcome.CANCELLED]


def test_headers_are_many_and_in_order():
    call = make_exchange(headers=[(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert (call.header(b"a"), call.header(b"c")) == (b"1", None)
    assert call.header_values(b"a") == [b"1", b"3"]
    call.set_header(b"a", b"4")
    assert call.headers == [(b"b", b"2"), (b"a", b"4")]
    call.drop_header(b"b")
    assert call.headers == [(b"a", b"4")]
    response = Response(200, [(b"a", b"1"), (b"a", b"2")])
    response.set_header(b"a", b"3")
    assert (response.headers, response.header(b"a"), response.header(b"b")) == ([(b"a", b"3")], b"3", None)


@pytest.mark.parametrize(("status", "kind"), [(200, ""), (304, ""), (404, "final"), (500, "temporary")])
def test_a_status_is_a_first_guess(status, kind):
    assert Response(status).kind == kind


def test_they_show_what_they_are():
    attempt = Attempt("http://127.0.0.1:1", "ab", 0)
    assert repr(attempt) == "<Attempt http://127.0.0.1:1 under way>"
    attempt.error = "reset"
    assert repr(attempt) == "<Attempt http://127.0.0.1:1 reset>"
    assert repr(make_exchange()) == "<Exchange GET /games from 127.0.0.1, 0 attempts>"
    assert repr(Response(200, body=b"s3cret")) == "<Response 200 ok, body 6 bytes>"
