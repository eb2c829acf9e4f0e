"""One line: what it says cannot be altered, and who did not know the key cannot have written it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.chain import GENESIS, START, BrokenLinkError, Link, is_authentic, read, seal

KEY = b"k" * 32
ENTRY = {"time": "2026-01-31T12:00:00.000Z", "kind": "call", "code": "IP_NOT_ALLOWED"}


def test_a_line_is_json_and_tells_its_place() -> None:
    line, link = seal(ENTRY, START, KEY)
    told = json.loads(line)
    assert told.items() >= ENTRY.items()
    assert (told["seq"], told["previous"]) == (1, GENESIS)
    assert link == Link(1, told["hash"], told["mac"])
    assert read(line.removesuffix(b"\n")) == (link, GENESIS, {"seq": 1, "previous": GENESIS, **ENTRY})


def test_a_line_vouches_for_the_one_before() -> None:
    _, first = seal(ENTRY, START, KEY)
    line, second = seal(ENTRY, first, KEY)
    assert read(line.removesuffix(b"\n")).previous == first.hash
    assert second.seq == 2
    assert second.hash != first.hash


def test_only_the_key_makes_a_line_authentic() -> None:
    _, link = seal(ENTRY, START, KEY)
    assert is_authentic(link, (b"o" * 32, KEY))
    assert not is_authentic(link, (b"o" * 32,))
    assert not is_authentic(link, ())


@given(at=st.integers(0, 10_000), to=st.integers(0, 255))
def test_no_byte_can_be_another(at: int, to: int) -> None:
    line = bytearray(seal(ENTRY, START, KEY)[0].removesuffix(b"\n"))
    at %= len(line)
    if line[at] == to:
        return
    line[at] = to
    try:
        link = read(bytes(line)).link
    except BrokenLinkError:
        return
    assert not is_authentic(link, (KEY,)), "only the MAC itself may differ, and then it does not fit"


@given(text=st.text(), number=st.integers() | st.none() | st.booleans())
def test_whatever_is_said_is_one_line_of_ascii(text: str, number: object) -> None:
    line, _ = seal({"text": text, text: number}, START, KEY)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert read(line.removesuffix(b"\n")).entry["text"] in (text, number)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"x" * 148, b'{"hash":"0","mac":"0"}', b"\xff" * 300], ids=range(5)
)
def test_what_is_no_line_is_told(line: bytes) -> None:
    with pytest.raises(BrokenLinkError):
        read(line)


@pytest.mark.parametrize("said", [b"[1", b'{"seq":"1","previous":"0"', b'{"seq":1', b"{"])
def test_a_sealed_line_that_is_no_entry_is_told(said: bytes) -> None:
    from hashlib import sha256

    from gateway.audit.chain import mac

    digest = sha256(said).hexdigest()
    with pytest.raises(BrokenLinkError):
        read(b'%b,"hash":"%b","mac":"%b"}' % (said, digest.encode(), mac(digest, KEY).encode()))
