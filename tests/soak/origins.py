"""The origin of a soak: right answers under most paths, every kind of broken one below /faulty."""

from __future__ import annotations

from tests.scenarios.scripted import Request, answer

LARGE = b"x" * (2 << 20)
POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
FAULTS = {
    "reset": b"",
    "no-http": b"junk\r\n\r\n",
    "half-a-head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "status-of-zero": b"HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n",
    "status-of-1000": b"HTTP/1.1 1000 X\r\ncontent-length: 0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "both-framings": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "longer-than-said": answer(200, b"four") + POISON,
    "shorter-than-said": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
    "bad-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "line-break-in-a-field": b"HTTP/1.1 200 OK\r\nx-a: a\nb: c\r\ncontent-length: 0\r\n\r\n",
    "nul-in-a-field": b"HTTP/1.1 200 OK\r\nx-a: a\0b\r\ncontent-length: 0\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 200 + answer(200, b"late"),
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "body-of-204": b"HTTP/1.1 204 No Content\r\n\r\n" + POISON,
    "fields-without-end": b"HTTP/1.1 200 OK\r\n"
    + b"".join(b"x-%d: a\r\n" % n for n in range(5000))
    + b"\r\n",
    "failure": answer(503, b'{"code": "7"}'),
    "server-error": answer(500, b"[" * 60_000),
}


def script(asked: Request) -> bytes:
    """What the path asks for. Right answers tell whose they are: the target, or the body that came."""
    target = asked.line.split()[1]
    if target.startswith("/faulty/"):
        return FAULTS.get(target.rpartition("/")[2], b"")
    if target == "/large":
        return answer(200, LARGE)
    return answer(200, asked.body or target.encode())
