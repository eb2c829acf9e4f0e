"""Calls that carry an id from end to end, and are given up at any byte by either side."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, cast

SWEPT_BYTES = 700
"""Bodies of the answers that are broken off at every byte."""
LARGEST_BYTES = 6_000
_RESET = struct.pack("ii", 1, 0)
_TARGET = re.compile(rb"(GET|POST) /calls/(\d+) HTTP/1\.1")


class Plan(NamedTuple):
    """One call, and who breaks it off where."""

    number: int
    upload: str = ""
    """The request's body: none, `length` or `chunks`."""
    size: int = 0
    """Bytes of body in the answer."""
    chunked: bool = False
    breaks: str = ""
    """Nobody; the caller having sent so many bytes (`request`), having got so many of the answer (`answer`)
    or when the origin has said so many (`said`); or the origin itself (`origin`)."""
    at: int = 0
    reset: bool = False
    """The origin breaks it off by a reset."""
    pieces: int = 1
    """The answer is said in so many."""

    @property
    def request(self) -> bytes:
        """All that the caller sends."""
        method = b"POST" if self.upload else b"GET"
        head = b"%b /calls/%d HTTP/1.1\r\nhost: gateway\r\n" % (method, self.number)
        body = mark(self.number, 60 + self.number % 40)
        if self.upload == "length":
            return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        if self.upload == "chunks":
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
            return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        return head + b"\r\n"

    @property
    def body(self) -> bytes:
        """What the caller must get."""
        return mark(self.number, self.size)

    @property
    def answer(self) -> bytes:
        """What the origin says to it."""
        head = b"HTTP/1.1 200 OK\r\nx-call: %d\r\n" % self.number
        if not self.chunked:
            return head + b"content-length: %d\r\n\r\n%b" % (self.size, self.body)
        parts = [self.body[at : at + 256] for at in range(0, self.size, 256)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def mark(number: int, size: int) -> bytes:
    """A body that says at every place whose it is."""
    word = b"%05d," % number
    return (word * (size // len(word) + 1))[:size]


def make_plans(count: int, random: Random) -> list[Plan]:
    """Every position of every kind at least once, the rest at random, half of it undisturbed."""
    numbers = iter(range(10_000, 10_000 + count))
    swept = list(_sweep(numbers, random))
    others = [_any(number, random) for number in numbers]
    plans = swept + others
    random.shuffle(plans)
    return plans


def _sweep(numbers: Iterator[int], random: Random) -> Iterator[Plan]:
    for upload in ("", "length", "chunks"):
        longest = len(Plan(10_039, upload).request)
        for at in range(longest + 1):
            number = next(numbers)
            yield Plan(number, upload, breaks="request", at=min(at, len(Plan(number, upload).request)))
    for chunked in (False, True):
        longest = len(Plan(10_000, size=SWEPT_BYTES, chunked=chunked).answer)
        for breaks in ("answer", "said", "origin"):
            for at in range(longest + (breaks != "origin")):
                yield Plan(
                    next(numbers), random.choice(("", "length", "chunks")), SWEPT_BYTES, chunked, breaks, at,
                    random.random() < 0.5, random.choice((1, 2, 5)),
                )  # fmt: skip


def _any(number: int, random: Random) -> Plan:
    size = random.choice((0, 1, 5, random.randrange(300), random.randrange(LARGEST_BYTES)))
    plan = Plan(
        number,
        random.choice(("", "length", "chunks")),
        size,
        random.random() < 0.5,
        pieces=random.choice((1, 1, 3)),
    )
    breaks = random.choice(("", "", "", "request", "answer", "said", "origin"))
    # Once an origin has said all, the connection is idle: who ends it then breaks off somebody else's call.
    longest = len(plan.request if breaks == "request" else plan.answer) + (breaks != "origin")
    return plan._replace(breaks=breaks, at=random.randrange(longest), reset=random.random() < 0.5)


@dataclass
class Origin:
    """Answers by the plan of the call that asks; what it cannot make out is a fault."""

    plans: dict[int, Plan]
    faults: list[str] = field(default_factory=list)
    said: dict[int, asyncio.Future[None]] = field(default_factory=dict)
    """Calls whose caller waits until so much was said."""
    visits: int = 0
    asked: int = 0


class Visit(asyncio.Protocol):
    """One connection of the gateway's."""

    transport: asyncio.Transport

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.waiting = b""
        self.to_say: list[bytes] = []
        origin.visits += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        head, end, rest = self.waiting.partition(b"\r\n\r\n")
        if not end:
            return
        found = _TARGET.match(head)
        plan = None if found is None else self.origin.plans.get(int(found[2]))
        if plan is None or self.to_say:
            self.origin.faults.append(f"not a call, or one too early: {head!r}")
            self.transport.abort()
            return
        if b"transfer-encoding: chunked" in head:
            if not rest.endswith(b"0\r\n\r\n"):
                return
            body = re.sub(rb"[0-9a-f]+\r\n([^\r]*)\r\n", rb"\1", rest).removesuffix(b"\r\n")
        else:
            length = re.search(rb"content-length: (\d+)", head)
            if len(rest) < (0 if length is None else int(length[1])):
                return
            body = rest
        if plan.upload and body != mark(plan.number, 60 + plan.number % 40):
            self.origin.faults.append(f"call {plan.number} brought {body!r}")
        self.waiting = b""
        self.origin.asked += 1
        self._answer(plan)

    def _answer(self, plan: Plan) -> None:
        answer = plan.answer
        if plan.breaks in ("said", "origin"):
            # Past the loop, so that exactly so much is on its way when the connection ends.
            descriptor = self.transport.get_extra_info("socket").fileno()
            os.write(descriptor, answer[: plan.at])
            if plan.breaks == "origin":
                if plan.reset:
                    with socket.socket(fileno=os.dup(descriptor)) as same:
                        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.transport.abort()
            elif (waiter := self.origin.said.pop(plan.number, None)) is not None:
                waiter.set_result(None)
            return
        step = len(answer) // plan.pieces + 1
        self.to_say = [answer[at : at + step] for at in range(0, len(answer), step)]
        self._say()

    def _say(self) -> None:
        if self.to_say and not self.transport.is_closing():
            self.transport.write(self.to_say.pop(0))
            if self.to_say:
                asyncio.get_running_loop().call_soon(self._say)


class Got(NamedTuple):
    """An answer as far as it came."""

    status: int
    call: bytes
    """What it says whose it is."""
    body: bytes
    whole: bool
    more: bytes
    """Behind it."""


def parse(raw: bytes) -> Got | None:
    """What the caller has of its answer; None as long as the head is not complete. ValueError for no HTTP."""
    head, end, rest = raw.partition(b"\r\n\r\n")
    if not end:
        return None
    line, *lines = head.split(b"\r\n")
    fields = dict(text.split(b": ", 1) for text in lines)
    status, call = int(line.split(b" ")[1]), fields.get(b"x-call", b"")
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        return Got(status, call, rest[:length], len(rest) >= length, rest[length:])
    if fields.get(b"transfer-encoding") != b"chunked":
        raise ValueError(f"framed by nothing: {head!r}")
    body = b""
    while b"\r\n" in rest:
        text, _, rest = rest.partition(b"\r\n")
        size = int(text, 16)
        body += rest[:size]
        if len(rest) < size + 2:
            break
        if rest[size : size + 2] != b"\r\n":
            raise ValueError(f"a chunk without its end: {raw!r}")
        rest = rest[size + 2 :]
        if not size:
            return Got(status, call, body, True, rest)
    return Got(status, call, body, False, b"")
