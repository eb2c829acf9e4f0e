"""What is read without llhttp reads as llhttp would have read it, or is not read at all."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.exchange import Headers
from gateway.upstream import answer
from gateway.upstream import plain as plain_answers
from gateway.upstream.answer import AnswerReader, InvalidAnswerError
from gateway.upstream.plain import PlainAnswers

PLAIN = b"HTTP/1.1 200 OK\r\nX-Game: slots\r\nContent-Length: 5\r\nempty:\r\n\r\nhello"


class Nothing(PlainAnswers):
    """Leaves everything to llhttp."""

    def read(self, data: bytes) -> tuple[int, Headers, bytes, bytes] | None:
        return None


def told(reader: AnswerReader, data: bytes) -> tuple[object, ...]:
    reader.begin()
    try:
        reader.feed(data)
    except InvalidAnswerError:
        return ("refused",)
    return (
        reader.status, reader.headers, b"".join(reader.chunks), reader.length, reader.complete, reader.dirty,
        reader.keep_alive, reader.bodiless, reader.until_close, reader.fed, reader.rest,
    )  # fmt: skip


def test_a_plain_answer_is_read() -> None:
    headers = [(b"x-game", b"slots"), (b"empty", b"")]
    plain = PlainAnswers()
    for _ in range(2):
        assert plain.read(PLAIN) == (200, headers, b"5", b"hello")


def test_what_says_nothing_is_left_out() -> None:
    more = b"connection: Keep-Alive\r\nkeep-alive: timeout=5\r\ncontent-length: 5"
    assert PlainAnswers().read(PLAIN.replace(b"Content-Length: 5", more)) == PlainAnswers().read(PLAIN)


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (b"200", b"204"),
        (b"200", b"304"),
        (b"200", b"100"),
        (b"200", b"099"),
        (b"200", b"600"),
        (b"200 OK", b"200"),
        (b"/1.1", b"/1.0"),
        (b"Content-Length", b"content-length: 5\r\ncontent-length"),
        (b"Content-Length: 5", b"x-a: 5"),
        (b"Length: 5", b"Length: 05"),
        (b"Length: 5", b"Length: +5"),
        (b"Length: 5", b"Length: 5, 5"),
        (b"Length: 5", b"Length: 4"),
        (b"Length: 5", b"Length: 6"),
        (b"slots", b"slots\r\nconnection: close"),
        (b"slots", b"slots\r\nconnection: x-game"),
        (b"slots", b"slots\r\ntransfer-encoding: chunked"),
        (b"slots", b"slots\r\nupgrade: h2c"),
        (b"slots", b"slots\r\n folded"),
        (b"slots", b"sl\tots"),
        (b"slots", b"sl\0ots"),
        (b"slots", b"sl\rots"),
        (b"slots", b"sl\nots: 1"),
        (b"slots", b"sl\xffots"),
        (b"slots", b"slots "),
        (b"X-Game", b"X-Game "),
        (b"X-Game", b"X Game"),
        (b"X-Game", b""),
        (b"\r\n\r\n", b"\r\n"),
        (b"slots", b"s" * 20_000),
        (b"empty:", b"empty:\r\n" * 100 + b"empty:"),
    ],
)
def test_what_is_not_certainly_plain_is_left_alone(what: bytes, instead: bytes) -> None:
    assert what in PLAIN
    plain = PlainAnswers()
    for _ in range(2):
        assert plain.read(PLAIN.replace(what, instead, 1)) is None
    assert plain.read(PLAIN) is not None


def test_framing_is_the_same_set_of_headers() -> None:
    assert plain_answers._FRAMING == answer._FRAMING


def test_it_remembers_no_more_than_it_may() -> None:
    plain = PlainAnswers()
    for number in range(2_000):
        item = b"id-%d" % number
        answer = b"HTTP/1.1 200 %b\r\nx-request-id: %b\r\ncontent-length: 0\r\n\r\n" % (item, item)
        assert plain.read(answer) == (200, [(b"x-request-id", item)], b"0", b"")
    assert plain.read(PLAIN.replace(b"slots", b"s" * 1_000)) is not None
    assert all(0 < len(known) <= 256 for known in (plain._headers, plain._statuses))
    assert max(map(len, plain._headers)) <= 128
    assert 0 < len(plain._heads) <= 64
    assert max(map(len, plain._heads)) <= 1024


def test_what_it_remembers_is_nobodys_to_change() -> None:
    plain = PlainAnswers()
    for _ in range(3):
        found = plain.read(PLAIN)
        assert found is not None
        assert len(found[1]) == 2
        found[1].append((b"set-cookie", b"of one caller"))


@pytest.mark.interpreted
def test_after_a_plain_answer_llhttp_begins_clean_and_the_other_way_round() -> None:
    reader = AnswerReader()
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    longer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: \xff\r\n\r\nok"
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    fresh = {data: told(AnswerReader(Nothing()), data) for data in (PLAIN, chunked, longer)}
    for _ in range(2):
        for data in (PLAIN, chunked, PLAIN, longer, PLAIN):
            assert told(reader, data) == fresh[data]
        reader.begin(head=True)
        reader.feed(head)
        assert (reader.complete, reader.bodiless, reader.length) == (True, True, b"9")


lines = st.lists(
    st.one_of(
        st.sampled_from([
            b"Content-Length: 5", b"content-length: 5", b"content-length:5", b"content-length: 05",
            b"content-length: 4", b"content-length: 6", b"content-length: 0", b"content-length : 5",
            b"connection: keep-alive", b"Connection: Keep-Alive", b"connection: close", b"connection: x-a",
            b"keep-alive: timeout=5", b"transfer-encoding: chunked", b"transfer-encoding: identity",
            b"upgrade: h2c", b"trailer: x", b"te: trailers", b"proxy-connection: close", b"x-a:1", b"x-a:  1",
            b"x-a: 1 ", b"x-a:\t1", b"x-a:", b"x-a: ", b"x-a", b": 1", b" x-a: 1", b"HTTP/1.1 200 OK", b"",
        ]),
        st.builds(lambda n, v: n + b": " + v, st.binary(max_size=4), st.binary(max_size=6)),
    ),
    max_size=5,
)  # fmt: skip
starts = st.sampled_from(
    [b"HTTP/1.1 %d X" % status for status in (99, 100, 101, 199, 200, 204, 205, 304, 404, 599, 600, 1000)]
    + [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1  200 OK", b"HTTP/1.0 200 OK", b"http/1.1 200 OK", b"",
       b"HTTP/1.1 200 O\tK", b"HTTP/1.1 200 \xff", b"HTTP/1.1 200 OK ", b"\r\nHTTP/1.1 200 OK",
       b"HTTP/1.10 200"]
)  # fmt: skip
bodies = st.sampled_from([b"hello", b"", b"hell", b"helloo", b"\r\n\r\nx", b"5\r\nhello\r\n0\r\n\r\n"])


@pytest.mark.interpreted
@given(st.lists(st.tuples(starts, lines, bodies), min_size=1, max_size=3))
@example([(b"HTTP/1.1 200 OK", [b"content-length: 5", b"content-length: 5"], b"hello")])
def test_it_reads_as_llhttp_does(answers: list[tuple[bytes, list[bytes], bytes]]) -> None:
    shared = PlainAnswers()
    for start, headers, content in answers:
        data = b"\r\n".join([start, *headers, b"", content])
        for _ in range(2):  # once learning its lines, once remembering them
            assert told(AnswerReader(shared), data) == told(AnswerReader(Nothing()), data)


@pytest.mark.interpreted
@given(st.integers(0, len(PLAIN)), st.integers(0, len(PLAIN)), st.binary(max_size=3))
def test_a_changed_answer_reads_as_llhttp_does(begin: int, size: int, instead: bytes) -> None:
    data = PLAIN[:begin] + instead + PLAIN[begin + size % 4 :]
    assert told(AnswerReader(), data) == told(AnswerReader(Nothing()), data)


@pytest.mark.interpreted
def test_every_byte_everywhere_reads_as_llhttp_does() -> None:
    plain = PlainAnswers()
    for place in range(len(PLAIN)):
        for byte in range(256):
            data = PLAIN[:place] + bytes([byte]) + PLAIN[place + 1 :]
            if (found := plain.read(data)) is not None:
                expected = told(AnswerReader(Nothing()), data)
                assert (*found[:2], found[3], found[2], True, False, True) == expected[:7], data
