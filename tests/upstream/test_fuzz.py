"""Answers sound and spoilt, in any pieces: what comes out is the answer, or an error, never another's.

A strict reading of RFC 9112 (`strict.py`) says what must come out. Each conversation ends with a second
call, which must get its own answer. `make fuzz` goes on for as long as it is told.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator

import pytest
import trustme
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamError
from tests.upstream.fuzz import SEEDS, decode, encode, try_one
from tests.upstream.grammar import Written, answers, pieces, spoilt
from tests.upstream.origins import Visit, body_of, call, ok, origin, upstream
from tests.upstream.strict import BROKEN, SHORT, WHOLE, read
from tests.upstream.test_tls import pem, server_context
from tests.upstream.wires import ANSWER, CUT, ENDS, ERROR, RESETS, STAYS, Told, converse, objection, told_of

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
many = settings(max_examples=EXAMPLES, deadline=None)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


@many
@given(answers(), st.data())
def test_a_sound_answer_comes_out_byte_by_byte(
    runner: asyncio.Runner, written: Written, data: st.DataObject
) -> None:
    end = ENDS if written.ends else STAYS
    arriving = data.draw(pieces(written.data))
    told = runner.run(converse(arriving, end=end, asks_head=written.asks_head))
    assert (told.kind, told.status, told.fields) == (ANSWER, written.status, written.fields)
    assert (told.state, told.body, told.kept) == (WHOLE, written.body, written.lasting)


@many
@given(answers(), st.data())
def test_the_strict_reading_reads_what_the_grammar_wrote(written: Written, data: st.DataObject) -> None:
    """The two say independently what must come out."""
    reading = read(written.data, asks_head=written.asks_head, ended=written.ends)
    assert (reading.state, reading.status, reading.fields) == (WHOLE, written.status, written.fields)
    assert (reading.body, reading.size, reading.lasting) == (written.body, len(written.data), written.lasting)
    assert not reading.doubtful
    short = read(
        written.data[: data.draw(st.integers(0, len(written.data) - 1))], asks_head=written.asks_head
    )
    assert short.state == SHORT


@many
@given(answers(), st.sampled_from([STAYS, ENDS, RESETS]), st.data())
def test_an_answer_that_breaks_off_is_never_told_as_whole(
    runner: asyncio.Runner, written: Written, end: str, data: st.DataObject
) -> None:
    if written.ends and end == ENDS:
        end = RESETS  # else wherever it ends it is whole
    cut = written.data[: data.draw(st.integers(0, len(written.data) - 1))]
    told = runner.run(converse(data.draw(pieces(cut)), end=end, asks_head=written.asks_head))
    assert objection(cut, told, end=end, asks_head=written.asks_head) == ""
    assert not told.kept
    if end != STAYS:
        assert told.kind == ERROR or told.state == CUT
        assert told.code == ("UPSTREAM_INVALID" if cut else "UPSTREAM_UNREACHABLE")
    assert written.body.startswith(told.body)


@many
@given(
    answers(), st.one_of(st.binary(min_size=1, max_size=20), answers().map(lambda more: more.data)), st.data()
)
def test_what_is_left_over_is_nobodys(
    runner: asyncio.Runner, written: Written, more: bytes, data: st.DataObject
) -> None:
    if written.ends:
        return  # there is no behind
    arriving = data.draw(pieces(written.data + more))
    told = runner.run(converse(arriving, asks_head=written.asks_head))
    assert (told.kind, told.status, told.fields) == (ANSWER, written.status, written.fields)
    assert (told.state, told.body, told.kept) == (WHOLE, written.body, False)


@settings(max_examples=EXAMPLES * 3, deadline=None)
@given(answers(), st.sampled_from([STAYS, ENDS, RESETS]), st.data())
def test_a_spoilt_answer_is_read_as_the_rfc_reads_it_or_refused(
    runner: asyncio.Runner, written: Written, end: str, data: st.DataObject
) -> None:
    answer = data.draw(spoilt(written.data))
    told = runner.run(converse(data.draw(pieces(answer)), end=end, asks_head=written.asks_head))
    assert objection(answer, told, end=end, asks_head=written.asks_head) == ""


@many
@given(st.binary(max_size=120))
def test_any_bytes(runner: asyncio.Runner, data: bytes) -> None:
    runner.run(try_one(data))


def test_the_seeds_of_the_campaign(runner: asyncio.Runner) -> None:
    for seed in SEEDS:
        for end in (STAYS, ENDS, RESETS):
            data = encode(seed, end=end, cuts=[3, 40])
            assert b"".join(decode(data)[0]) == seed
            runner.run(try_one(data))


@pytest.fixture(scope="module")
def secured() -> tuple[ssl.SSLContext, dict[str, str]]:
    """An origin's side of TLS, and what the gateway is told of it."""
    authority = trustme.CA()
    return server_context(authority, "127.0.0.1"), {"ca": pem(authority.cert_pem)}


async def over_a_socket(
    arriving: list[bytes], end: str, asks_head: bool, context: ssl.SSLContext | None, tls: dict[str, str]
) -> Told:
    """The same conversation with a real origin."""

    async def play(visit: Visit) -> None:
        await visit.request()
        if len(place.heads) > 1:
            await visit.say(ok(b"the own"))
            await visit.until_closed()
            return
        for piece in arriving:
            await visit.say(piece)
            await asyncio.sleep(0)
        if end == STAYS:
            await visit.request()
            await visit.say(ok(b"the own"))

    async with (
        origin(play, context=context) as place,
        upstream(place, pool={"max_connections": 1}, tls=tls) as up,
    ):
        try:
            told = await told_of(await up(call("HEAD" if asks_head else "GET")), patient=True)
        except UpstreamError as error:
            told = Told(ERROR, error.code)
        assert await body_of(await up(call())) == b"the own"
        told.kept = len(place.visits) == 1
    return told


@settings(max_examples=EXAMPLES // 3, deadline=None)
@given(written=answers(), sound=st.booleans(), secure=st.booleans(), data=st.data())
def test_the_same_over_real_sockets_with_tls_and_without(
    runner: asyncio.Runner,
    secured: tuple[ssl.SSLContext, dict[str, str]],
    written: Written,
    *,
    sound: bool,
    secure: bool,
    data: st.DataObject,
) -> None:
    answer = written.data if sound else data.draw(spoilt(written.data))
    reading = read(answer, asks_head=written.asks_head)
    end = (
        STAYS if reading.state == WHOLE else ENDS
    )  # what lacks an end gets it: deadlines are tried elsewhere
    context, tls = secured if secure else (None, {})
    told = runner.run(over_a_socket(data.draw(pieces(answer)), end, written.asks_head, context, tls))
    assert objection(answer, told, end=end, asks_head=written.asks_head) == ""


@pytest.mark.parametrize(
    ("data", "state", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", WHOLE, b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", SHORT, b"hel"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", BROKEN, b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", WHOLE, b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n", BROKEN, b"hi"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n", BROKEN, b""),
        (b"HTTP/1.1 200 OK\r\nx-a: a\nx-b: b\r\n\r\n", BROKEN, b""),
        (b"HTTP/1.1 600 OK\r\n\r\n", BROKEN, b""),
        (b"HTTP/1.1 101 OK\r\n\r\n", BROKEN, b""),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", BROKEN, b""),
    ],
)
def test_the_strict_reading_is_strict(data: bytes, state: str, body: bytes) -> None:
    reading = read(data)
    assert (reading.state, reading.body) == (state, body)


@pytest.mark.parametrize(
    ("told", "about"),
    [
        (Told(kept=True), "kept"),
        (Told(ERROR, "UPSTREAM_INVALID"), "nothing wrong"),
        (Told(ANSWER, status=200, state=WHOLE, body=b"hell"), "told as whole"),
        (Told(ANSWER, status=200, state=WHOLE, body=b"poison"), "told as whole"),
        (Told(ANSWER, status=201, state=WHOLE, body=b"hello"), "another head"),
        (Told(ANSWER, status=200, state=CUT, code="UPSTREAM_INVALID", body=b"hell"), "not told as one"),
    ],
)
def test_the_judge_objects(told: Told, about: str) -> None:
    """What would go wrong is noticed."""
    data = ok(b"hello") + b"left over"
    assert about in objection(data, told)
