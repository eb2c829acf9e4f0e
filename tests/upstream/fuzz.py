"""`make fuzz`: answers by the million, guided by coverage, judged by the strict reading of RFC 9112.

One input is a whole conversation: what the origin says, where it is cut into pieces, and how it ends.
What atheris finds is kept in var/fuzz, and is the start of the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

FOLDER = Path("var/fuzz")
_ENDS = ("stays", "ends", "resets")
_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

SEEDS = (
    b"",
    _HEAD + b"content-length: 5\r\n\r\nhello",
    _HEAD + b"Content-Length: 0\r\nConnection: close\r\nx-a: \xff\r\n\r\n",
    _HEAD + b"content-length: 5\r\nconnection: x-a\r\nx-a: 1\r\n\r\nhello\r\n",
    _HEAD + b"x-a: 1\r\n\r\nhello",
    _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    _CHUNKED + b'5;a="b"\r\nhello\r\n0;c\r\nx-t: 1\r\n\r\n',
    _CHUNKED + b"0\r\n\r\n" + _HEAD + b"content-length: 6\r\n\r\npoison",
    b"HTTP/1.1 100 Continue\r\n\r\n" + _HEAD + b"content-length: 5\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 2 + _CHUNKED + b"1\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    _HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
)
"""Where a campaign begins."""


def encode(answer: bytes, *, end: str = "stays", asks_head: bool = False, cuts: Sequence[int] = ()) -> bytes:
    """A conversation as one input: flags, the number of cuts, the cuts, the answer."""
    flags = _ENDS.index(end) * 2 + asks_head
    return bytes([flags, len(cuts)]) + b"".join(cut.to_bytes(2) for cut in cuts) + answer


def decode(data: bytes) -> tuple[list[bytes], str, bool]:
    """Any bytes as a conversation: the pieces, how it ends, whether HEAD was asked."""
    flags, count = (data + b"\0\0")[:2]
    count %= 8
    places, answer = data[2 : 2 + 2 * count], data[2 + 2 * count :]
    cuts = sorted(int.from_bytes(places[at : at + 2]) % (len(answer) + 1) for at in range(0, len(places), 2))
    pieces = [answer[start:stop] for start, stop in pairwise([0, *cuts, len(answer)]) if start < stop]
    return pieces, _ENDS[flags // 2 % 3], bool(flags & 1)


async def try_one(data: bytes) -> None:
    """Hold the conversation; AssertionError where anything is wrong with it."""
    from tests.upstream.wires import converse, objection

    pieces, end, asks_head = decode(data)
    told = await converse(pieces, end=end, asks_head=asks_head)
    wrong = objection(b"".join(pieces), told, end=end, asks_head=asks_head)
    assert not wrong, f"{wrong}\nin {pieces}, then it {end}, HEAD: {asks_head}"


def main() -> None:
    """Run until the time is up, or over the one input that is named."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("input", nargs="*", help="a file that a run left in var/fuzz")
    chosen = options.parse_args()
    import atheris

    with atheris.instrument_imports(include=["gateway.upstream", "tests.upstream"]):
        import tests.upstream.wires  # noqa: F401 - whose lines are watched from here on
    import uvloop

    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        for end in _ENDS:
            data = encode(seed, end=end)
            (corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
    words = FOLDER / "words"
    words.write_text(_dictionary())
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    arguments = [f"-max_total_time={chosen.seconds}", "-max_len=1024", f"-artifact_prefix={FOLDER}/",
                 f"-dict={words}", "-print_final_stats=1", *(chosen.input or [str(corpus)])]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], lambda data: runner.run(try_one(data)))
    atheris.Fuzz()


def _dictionary() -> str:
    """What an attacker would put somewhere, as libFuzzer reads it."""
    from tests.upstream.grammar import TOKENS

    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    return "".join(f'"{word}"\n' for word in words)


if __name__ == "__main__":
    main()
