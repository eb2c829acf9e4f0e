"""One attack over a raw socket, and the verdict on what came of it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from typing import NamedTuple

from tests.edge.attacks.cases import SMUGGLED, Case
from tests.edge.attacks.recording import Arrived, RecordingOrigin, recording_origin

AFTER = b"GET /after HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
PATIENCE_SECONDS = 10


class Answer(NamedTuple):
    """What the caller was told."""

    status: int
    closes: bool
    """It says `Connection: close`."""
    body: bytes


def attack(port: int, case: Case, origin: RecordingOrigin, patience: float = PATIENCE_SECONDS) -> str:
    """What is wrong with how the edge at `port` took it; empty where nothing is."""
    origin.clear()
    try:
        answers = converse(port, case.sent, patience)
    except TimeoutError:
        return f"no end within {patience:g} s"
    except (ConnectionError, ValueError, IndexError) as error:
        return f"no answer that can be read: {error!r}"
    return verdict(case, answers, origin.arrived.copy(), origin.faults.copy())


def converse(port: int, sent: bytes, patience: float = PATIENCE_SECONDS) -> list[Answer]:
    """Send, read the answer, and where the connection stays open ask for /after on it: all its answers."""
    with socket.create_connection(("127.0.0.1", port), patience) as caller:
        with suppress(ConnectionError):  # refused before all of it was sent
            caller.sendall(sent)
        answers: list[Answer] = []
        with caller.makefile("rb") as received:
            while (answer := _read_answer(received)) is not None:
                answers.append(answer)
                if len(answers) == 1 and not answer.closes:
                    caller.sendall(AFTER)
        return answers


def _read_answer(received: BufferedIOBase) -> Answer | None:
    line = received.readline()
    if not line:
        return None
    status, closes, length = int(line.split()[1]), False, 0
    while (text := received.readline()) not in (b"\r\n", b""):
        name, _, value = text.lower().partition(b":")
        closes |= name == b"connection" and value.strip() == b"close"
        length = int(value) if name == b"content-length" else length
    return Answer(status, closes, received.read(length))


def verdict(case: Case, answers: Sequence[Answer], arrived: list[Arrived], faults: Sequence[str]) -> str:
    """What is wrong; empty where nothing is."""
    if faults:
        return f"the origin was sent what it cannot read: {faults[0]}"
    if not answers:
        return "the connection ended without an answer"
    first, *rest = answers
    if not first.closes:
        if [answer.body for answer in rest] != [b"/after"] or not arrived or arrived.pop().target != "/after":
            return f"the next call was answered {rest}"
    elif rest:
        return "there were more answers than requests"
    if first.status not in case.answers:
        return f"answered {first.status}, not {' or '.join(map(str, case.answers))}"
    if case.passes is None or (400 <= first.status < 500 and not arrived):
        if arrived:
            return f"refused, and forwarded all the same: {arrived[0]}"
        in_doubt = SMUGGLED in case.sent and not first.closes
        return "where the next request begins is in doubt, and the connection goes on" if in_doubt else ""
    if len(arrived) != 1 or not case.passes(arrived[0]):
        return f"the origin got {arrived}"
    return ""


@contextmanager
def origin_in_a_thread() -> Iterator[RecordingOrigin]:
    """A recording origin whose callers may block."""
    started = threading.Event()
    found: list[RecordingOrigin] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with recording_origin() as recording:
            found.append(recording)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_SECONDS)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
