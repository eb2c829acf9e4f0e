"""What a broken or hostile origin answers, and what must come of each: family 12.

Answers are bytes. `POISON` is a whole second answer, behind or beside the one that was asked for: nobody
may ever get it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

LINE = b"HTTP/1.1 200 OK\r\n"
POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-planted: poison\r\n\r\npoison"
CHUNKED = b"transfer-encoding: chunked\r\n"


class Misdeed(NamedTuple):
    """One answer of an origin's to one call, and what the caller must see of it."""

    name: str
    says: bytes
    """Said at once."""
    later: bytes = b""
    """Said as soon as the caller has the head of its answer."""
    over_and_over: bytes = b""
    """Then said again and again, until the gateway closes the connection."""
    pause_seconds: float = 0.0
    """Between two times of that."""
    stray: bytes | None = None
    """Said, and then the end, once the caller has the whole answer, on a connection that is idle then."""
    then: str = "stays"
    """stays | ends | resets: what becomes of the connection at last."""
    slow: bool = False
    """The call ends by a deadline: it goes to the upstream whose deadlines are short."""
    method: bytes = b"GET"
    status: int = 502
    code: str = "UPSTREAM_INVALID"
    """Of a 502 or 504."""
    body: bytes = b""
    """Of a 200; what the caller got must begin it where it was cut."""
    cut: bool = False
    """The caller is told that the body broke off."""
    reused: bool = False
    """The connection carries the next call."""
    family: int = 12


def head(*fields: bytes, line: bytes = LINE) -> bytes:
    return line + b"".join(b"%b\r\n" % field for field in fields) + b"\r\n"


def sized(body: bytes, *fields: bytes, line: bytes = LINE) -> bytes:
    return head(b"content-length: %d" % len(body), *fields, line=line) + body


HELLO = sized(b"hello")


def _lengths() -> Iterator[Misdeed]:
    short = head(b"content-length: 10") + b"hello"
    hello = Misdeed("", b"", status=200, body=b"hello")
    cut = hello._replace(cut=True)
    yield cut._replace(name="shorter than its length", says=short, then="ends")
    yield cut._replace(name="shorter than its length, and a reset", says=short, then="resets")
    yield hello._replace(name="longer than its length", says=HELLO + b" world")
    yield hello._replace(name="no length, and the end", says=head() + b"hello", then="ends")
    yield cut._replace(name="no length, and a reset", says=head() + b"hello", then="resets")
    yield hello._replace(
        name="HTTP/1.0 without a length", says=head(line=b"HTTP/1.0 200 OK\r\n") + b"hello", then="ends"
    )
    yield hello._replace(name="HTTP/1.0 with a length", says=sized(b"hello", line=b"HTTP/1.0 200 OK\r\n"))
    yield hello._replace(
        name="HTTP/1.0 kept alive",
        says=sized(b"hello", b"Connection: Keep-Alive", line=b"HTTP/1.0 200 OK\r\n"),
        reused=True,
    )
    yield hello._replace(name="Connection: close", says=sized(b"hello", b"Connection: close"))
    yield hello._replace(
        name="Connection: keep-alive, close", says=sized(b"hello", b"Connection: keep-alive, close")
    )
    yield hello._replace(name="nothing wrong", says=HELLO, reused=True)
    yield hello._replace(
        name="space around the length", says=head(b"content-length: \t5 ") + b"hello", reused=True
    )
    yield hello._replace(
        name="nothing wrong, in chunks", says=head(CHUNKED[:-2]) + b"5\r\nhello\r\n0\r\n\r\n", reused=True
    )
    for name, fields in (
        ("plus sign", b"content-length: +5"),
        ("minus sign", b"content-length: -5"),
        ("hexadecimal", b"content-length: 0x5"),
        ("empty length", b"content-length:"),
        ("list of lengths", b"content-length: 5, 5"),
        ("fraction", b"content-length: 5.0"),
        ("space within the length", b"content-length: 5 0"),
        ("digits of another script", "content-length: ５".encode()),
        ("length of more than 64 bits", b"content-length: 18446744073709551621"),
        ("two lengths", b"content-length: 5\r\ncontent-length: 6"),
        ("two lengths, the same", b"content-length: 5\r\ncontent-length: 5"),
        ("space before the colon", b"content-length : 5"),
        ("length on a line of its own", b"content-length:\r\n 5"),
        ("length first, then chunked", b"content-length: 5\r\ntransfer-encoding: chunked"),
        ("chunked first, then a length", b"transfer-encoding: chunked\r\ncontent-length: 5"),
    ):
        yield Misdeed(name, head(fields) + b"hello")
    for coding in (
        b"xchunked", b"gzip", b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"",
        b"chunked;q=1", b"\x0bchunked", b"chunked\r\ntransfer-encoding: chunked",
        b"chunked\r\ntransfer-encoding: identity",
    ):  # fmt: skip
        name = f"Transfer-Encoding: {coding.decode('latin-1')!r}"
        yield Misdeed(name, head(b"transfer-encoding: " + coding) + b"5\r\nhello\r\n0\r\n\r\n")
    yield Misdeed(
        "chunks over HTTP/1.0", head(CHUNKED[:-2], line=b"HTTP/1.0 200 OK\r\n") + b"5\r\nhello\r\n0\r\n\r\n"
    )


def _chunks() -> Iterator[Misdeed]:
    begin = head(CHUNKED[:-2])
    for name, body in (
        ("0x before a size", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("negative size", b"-5\r\nhello\r\n0\r\n\r\n"),
        ("plus before a size", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("no size", b"\r\nhello\r\n0\r\n\r\n"),
        ("size of 17 f", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("space before a size", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("bare line feed behind a size", b"5\nhello\r\n0\r\n\r\n"),
        ("bare carriage return behind a size", b"5\rhello\r\n0\r\n\r\n"),
        ("bare line feed behind data", b"5\r\nhello\n0\r\n\r\n"),
        ("data longer than its size", b"3\r\nhello\r\n0\r\n\r\n"),
        ("data shorter than its size", b"7\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
        ("line feed in an extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("trailer with a NUL", b"5\r\nhello\r\n0\r\nx: a\0b\r\n\r\n"),
        ("trailer that is folded", b"5\r\nhello\r\n0\r\nx: a\r\n b\r\n\r\n"),
        ("trailer without a colon", b"5\r\nhello\r\n0\r\nxa\r\n\r\n"),
        ("trailer with a length", b"5\r\nhello\r\n0\r\ncontent-length: 66\r\n\r\n"),
        ("bare line feed at the end", b"5\r\nhello\r\n0\r\n\n"),
    ):
        yield Misdeed(f"{name}, at once", begin + body)
        yield Misdeed(f"{name}, later", begin, body + POISON, status=200, body=b"hello\r\n0", cut=True)
    cut = Misdeed("", b"", status=200, body=b"hello", cut=True)
    yield cut._replace(name="no last chunk", says=begin + b"5\r\nhello\r\n", then="ends")
    yield cut._replace(name="half a last chunk", says=begin + b"5\r\nhello\r\n0\r\n", then="ends")
    yield cut._replace(name="half a chunk, and a reset", says=begin + b"a\r\nhello", then="resets")
    yield cut._replace(name="an extension without end", says=begin + b"5;a=", over_and_over=b"a" * 1000)
    yield cut._replace(
        name="a trailer without end", says=begin + b"5\r\nhello\r\n0\r\n", over_and_over=b"x-a: a\r\n" * 100
    )
    for name, field in (
        ("an identity", b"x-api-key: poison"),
        ("a coding", b"transfer-encoding: chunked"),
        ("a host", b"host: poison"),
        ("a cookie", b"set-cookie: poison=1"),
    ):
        whole = begin + b"5\r\nhello\r\n0\r\n%b\r\n\r\n" % field
        yield cut._replace(name=f"trailer with {name}", says=whole, cut=False, reused=True)


def _heads() -> Iterator[Misdeed]:
    for name, field in (
        ("NUL in a value", b"x-a: a\0b"),
        ("control byte in a value", b"x-a: a\x01b"),
        ("delete in a value", b"x-a: a\x7fb"),
        ("bare carriage return in a value", b"x-a: a\rx-planted: poison"),
        ("bare line feed ends a field", b"x-a: a\nx-planted: poison"),
        ("folded line", b"x-a: a\r\n b"),
        ("folded first line", b" x-a: a"),
        ("space before a colon", b"x-a : a"),
        ("space in a name", b"x a: a"),
        ("empty name", b": a"),
        ("no colon", b"x-a"),
        ("name of UTF-8", "x-ä: a".encode()),
        ("201 fields", b"\r\n".join([b"x-a: a"] * 201)),
        ("a field of 70 KB", b"x-a: " + b"a" * 70_000),
        ("a name of 70 KB", b"a" * 70_000 + b": a"),
    ):
        yield Misdeed(name, head(field, b"content-length: 5") + b"hello")
    for name, start in (
        ("status 000", b"HTTP/1.1 000 OK"),
        ("status 099", b"HTTP/1.1 099 OK"),
        ("status 600", b"HTTP/1.1 600 OK"),
        ("status 999", b"HTTP/1.1 999 OK"),
        ("status 1000", b"HTTP/1.1 1000 OK"),
        ("status 20", b"HTTP/1.1 20 OK"),
        ("status of letters", b"HTTP/1.1 2OO OK"),
        ("negative status", b"HTTP/1.1 -200 OK"),
        ("no status", b"HTTP/1.1"),
        ("two spaces before the status", b"HTTP/1.1  200 OK"),
        ("status without a space behind", b"HTTP/1.1 200OK"),
        ("bare carriage return in the status line", b"HTTP/1.1 200 O\rK"),
        ("HTTP/0.9 in the status line", b"HTTP/0.9 200 OK"),
        ("HTTP/1.2", b"HTTP/1.2 200 OK"),
        ("HTTP/2.0", b"HTTP/2.0 200 OK"),
        ("HTTP/11.1", b"HTTP/11.1 200 OK"),
        ("version in small letters", b"http/1.1 200 OK"),
        ("another protocol", b"RTSP/1.0 200 OK"),
        ("empty line first", b"\r\nHTTP/1.1 200 OK"),
        ("space first", b" HTTP/1.1 200 OK"),
        ("a request", b"GET / HTTP/1.1"),
        ("101 that nobody asked for", b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket"),
        ("100 with a length", b"HTTP/1.1 100 Continue"),
    ):
        yield Misdeed(name, head(b"content-length: 5", line=start + b"\r\n") + b"hello" + POISON)
    chunked = head(CHUNKED[:-2], line=b"HTTP/1.1 103 Early Hints\r\n")
    yield Misdeed("103 in chunks", chunked + b"5\r\nhello\r\n0\r\n\r\n" + HELLO)
    yield Misdeed("HTTP/0.9", b"<html>hello</html>", then="ends")
    yield Misdeed("a TLS record", b"\x15\x03\x01\x00\x02\x02\x16", then="ends")
    yield Misdeed("a head without end", LINE, over_and_over=b"x-a: a\r\n" * 10)
    yield Misdeed("a status line without end", LINE[:-2], over_and_over=b"O" * 1000)
    yield Misdeed(
        "interim answers without end", b"", over_and_over=head(line=b"HTTP/1.1 100 Continue\r\n") * 50
    )
    yield Misdeed("an interim answer, and the end", head(line=b"HTTP/1.1 100 Continue\r\n"), then="ends")
    hello = Misdeed("", b"", status=200, body=b"hello", reused=True)
    for line in (b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.1 103 Early Hints\r\nx-planted: poison\r\n",
                 b"HTTP/1.1 199 X\r\nset-cookie: poison=1\r\n"):  # fmt: skip
        yield hello._replace(name=f"{line[9:12].decode()} first", says=head(line=line) + HELLO)
    yield hello._replace(name="no reason", says=sized(b"hello", line=b"HTTP/1.1 200\r\n"))
    yield hello._replace(
        name="fields for the next hop only",
        says=sized(b"hello", b"x-planted: poison", b"connection: x-planted, keep-alive", b"upgrade: poison"),
    )
    for name, says in (
        ("nothing", b""),
        ("half a status line", b"HTTP/1.1 2"),
        ("half a head", LINE + b"x-a"),
    ):
        code = "UPSTREAM_INVALID" if says else "UPSTREAM_UNREACHABLE"
        yield Misdeed(f"{name}, and the end", says, then="ends", code=code)
        yield Misdeed(f"{name}, and a reset", says, then="resets", code=code)


def _bodiless() -> Iterator[Misdeed]:
    for status, method in ((204, b"GET"), (304, b"GET"), (200, b"HEAD")):
        line = b"HTTP/1.1 %d X\r\n" % status
        name = method.decode() if method == b"HEAD" else str(status)
        clean = Misdeed(f"{name} as it should be", head(b"x-a: 1", line=line), method=method, status=status)
        yield clean._replace(reused=True)
        length = head(b"content-length: 5", line=line)
        yield clean._replace(name=f"{name} with a length", says=length, reused=True)
        yield clean._replace(name=f"{name} with a body", says=length + b"hello")
        yield clean._replace(name=f"{name} with an empty line behind", says=clean.says + b"\r\n")
        yield clean._replace(
            name=f"{name} with chunks", says=head(CHUNKED[:-2], line=line) + b"5\r\nhello\r\n0\r\n\r\n"
        )
        yield clean._replace(name=f"{name} with an answer behind", says=clean.says + POISON)
        yield clean._replace(name=f"{name} with a body later", says=length, stray=b"hello")


def _left_over() -> Iterator[Misdeed]:
    hello = Misdeed("", b"", status=200, body=b"hello")
    chunks = head(CHUNKED[:-2]) + b"5\r\nhello\r\n0\r\n\r\n"
    for name, more in (
        ("a whole answer", POISON),
        ("two answers", POISON * 2),
        ("an interim answer", head(line=b"HTTP/1.1 100 Continue\r\n")),
        ("half a status line", b"HTTP/1.1 20"),
        ("an empty line", b"\r\n"),
        ("a line feed", b"\n"),
        ("a NUL", b"\0"),
        ("64 KB of noise", b"\xff" * 65_536),
    ):
        yield hello._replace(name=f"{name} behind a length", says=HELLO + more)
        yield hello._replace(name=f"{name} behind chunks", says=chunks + more)
        yield hello._replace(name=f"{name} on an idle connection", says=HELLO, stray=more)
    yield hello._replace(name="the end of an idle connection", says=HELLO, stray=b"", then="ends")
    yield hello._replace(name="a reset of an idle connection", says=HELLO, stray=b"", then="resets")


def _silence() -> Iterator[Misdeed]:
    late = Misdeed("", b"", slow=True, status=504, code="UPSTREAM_TIMEOUT")
    for name, says in (
        ("from the start", b""),
        ("in the status line", LINE[:7]),
        ("in a field", LINE + b"x-a"),
        ("before the end of the head", LINE + b"content-length: 5\r\n"),
        ("behind an interim answer", head(line=b"HTTP/1.1 100 Continue\r\n")),
    ):
        yield late._replace(name=f"silence {name}", says=says)
    cut = late._replace(status=200, cut=True, body=b"hello")
    for name, says in (
        ("before the body", head(b"content-length: 5")),
        ("in the body", head(b"content-length: 5") + b"hel"),
        ("where only the end tells", head() + b"hello"),
        ("in a size", head(CHUNKED[:-2]) + b"5"),
        ("in a chunk", head(CHUNKED[:-2]) + b"5\r\nhel"),
        ("between chunks", head(CHUNKED[:-2]) + b"5\r\nhello\r\n"),
        ("in the last chunk", head(CHUNKED[:-2]) + b"5\r\nhello\r\n0\r\n"),
        ("in a trailer", head(CHUNKED[:-2]) + b"5\r\nhello\r\n0\r\nx-a: "),
    ):
        yield cut._replace(name=f"silence {name}", says=says)
    drip = {"pause_seconds": 0.05}
    yield late._replace(name="fields that drip", says=LINE, over_and_over=b"x-a: a\r\n", **drip)
    yield late._replace(
        name="interim answers that drip", over_and_over=head(line=b"HTTP/1.1 100 Continue\r\n"), **drip
    )
    cut = cut._replace(body=b"x" * 1000, **drip)
    yield cut._replace(name="a body that drips", says=head(b"content-length: 1000"), over_and_over=b"x")
    yield cut._replace(name="chunks that drip", says=head(CHUNKED[:-2]), over_and_over=b"1\r\nx\r\n")


CASES = [case for kind in (_lengths, _chunks, _heads, _bodiless, _left_over, _silence) for case in kind()]
