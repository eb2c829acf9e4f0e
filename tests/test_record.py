"""The form of a record survives the way to the observer, however the stream is cut."""

from __future__ import annotations

import marshal
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Sent
from gateway.record import FRAME_LIMIT, VERSION, Batch, Frames, RouteEntry, encode, plain

ENTRY = RouteEntry("r", "/r", "u", "p", ("cache",))


def batch(*records: tuple[object, ...]) -> Batch:
    return Batch(VERSION, 3, 17, 1, [tuple(ENTRY)], list(records), 5)


@given(st.lists(st.integers(1, 400)), st.lists(st.lists(st.text(), max_size=3), max_size=4))
def test_batches_arrive_however_the_stream_is_cut(cuts: list[int], contents: list[list[str]]) -> None:
    sent = [batch(*[(text,) for text in texts]) for texts in contents]
    stream = b"".join(map(encode, sent))
    frames, arrived = Frames(), []
    for cut in [*cuts, len(stream)]:
        piece, stream = stream[:cut], stream[cut:]
        arrived += [found for found, _ in frames.feed(piece)]
    assert arrived == sent


def test_a_batch_is_read_with_its_size() -> None:
    frame = encode(batch((1,)))
    ((found, size),) = Frames().feed(frame)
    assert found == batch((1,))
    assert size == len(frame) - 4


@pytest.mark.parametrize(
    "payload",
    [
        marshal.dumps((VERSION + 1, *batch()[1:])),
        marshal.dumps((VERSION,)),
        marshal.dumps(()),
        marshal.dumps([1]),
        marshal.dumps("text")[:3],
        b"\xff",
        b"",
    ],
)
def test_what_is_no_batch_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a batch|bad marshal"):
        list(Frames().feed(struct.pack("!I", len(payload)) + payload))


def test_a_length_no_frame_has_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="out of step"):
        list(Frames().feed(struct.pack("!I", FRAME_LIMIT + 1)))


def test_what_marshal_refuses_can_be_made_plain() -> None:
    value = {"a": [Sent.NO, (1, 2.5, None, True)], Sent.YES: b"x"}
    with pytest.raises(ValueError, match="unmarshallable"):
        encode(batch((value,)))
    assert marshal.loads(marshal.dumps(plain(value))) == {"a": ["no", (1, 2.5, None, True)], "yes": b"x"}
