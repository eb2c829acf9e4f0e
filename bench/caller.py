"""A caller that believes nothing: while load runs, it compares answers whole with what the origin gives."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

TIMEOUT_SECONDS = 10
TOLD = 20
"""Faults that are told one by one; of the others the number."""
SMALL = 300
LARGEST = 8192
"""Bytes of the bodies that are sent: to the path itself, and to /echo at most."""

PER_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "date",
        "server",
        "via",
    }
)
"""Headers that are each hop's own, or say how a body is framed: a proxy may write them anew."""

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-0[13]")

Fields = tuple[tuple[str, str], ...]
"""Headers in the order of their arrival, names in lower case."""


@dataclass(frozen=True)
class Verdict:
    """What the verifier saw."""

    calls: int
    """All calls it made, those without a valid key included."""
    faults: list[str] = field(default_factory=list)
    """Empty when everything was right."""
    refused: int = 0
    """How many of its calls had no valid key."""


@dataclass(frozen=True)
class Call:
    """What is sent."""

    method: str
    target: str
    headers: Fields
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Fields
    body: bytes


Judge = Callable[[Answer], list[str]]
"""What is wrong with an answer."""


class Verifier:
    """Calls through a proxy about `rate` times a second, in a thread of its own, and checks each answer.

    `additions`: names of headers (a final `*` stands for any rest) that this proxy may add to an answer.
    `traced`: the origin must receive a traceparent, a new one with each call.
    `guarded`: calls without a key, and with a wrong one, must be answered 401.
    """

    def __init__(
        self,
        port: int,
        key: str,
        origin_port: int,
        *,
        rate: float = 20,
        path: str = "/games",
        additions: Iterable[str] = (),
        traced: bool = False,
        guarded: bool = True,
    ) -> None:
        self.port = port
        self.key = ("x-api-key", key)
        self.origin_port = origin_port
        self.pause_seconds = 1 / rate
        self.path = path
        self.additions = tuple(name.lower() for name in additions)
        self.traced = traced
        self.guarded = guarded
        self.calls = self.refused = 0
        self.faults: list[str] = []
        self.traces: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="verifier", daemon=True)

    def __repr__(self) -> str:
        return f"<Verifier of port {self.port}: {self.calls} calls, {len(self.faults)} faults>"

    def start(self) -> None:
        """Ask the origin what is right, and begin. OSError when the origin does not answer."""
        own = Caller(self.origin_port)
        small = random.randbytes(SMALL)
        get, post = Call("GET", self.path, (self.key,)), Call("POST", self.path, (self.key,), small)
        self._plan = self._calls(get, own.ask(get), post, own.ask(post))
        own.close()
        self._thread.start()

    def stop(self) -> Verdict:
        """End, after the call under way."""
        self._ended.set()
        self._thread.join()
        told = self.faults[:TOLD]
        if len(self.faults) > TOLD:
            told.append(f"and {len(self.faults) - TOLD} more")
        return Verdict(self.calls, told, self.refused)

    def _run(self) -> None:
        caller = Caller(self.port)
        due = time.monotonic()
        for call, judge in self._plan:
            self.calls += 1
            try:
                self.faults += [f"{call}: {fault}" for fault in judge(caller.ask(call))]
            except (OSError, http.client.HTTPException) as error:
                caller.close()
                self.faults.append(f"{call}: {type(error).__name__}: {error}")
            due = max(due + self.pause_seconds, time.monotonic())
            if self._ended.wait(due - time.monotonic()):
                break
        caller.close()

    def _calls(self, get: Call, got: Answer, post: Call, posted: Answer) -> Iterator[tuple[Call, Judge]]:
        """In turns and without end: the path itself, /echo, and now and then calls that must be refused."""
        for number in itertools.count():
            yield get, partial(differences, wanted=got, additions=self.additions)
            yield post, partial(differences, wanted=posted, additions=self.additions)
            echoed = self._echo(number)
            yield echoed, partial(self._received, sent=echoed)
            if self.guarded and number % 4 == 0:
                self.refused += 1
                yield Call("GET", self.path, ()), refusal
            if self.guarded and number % 4 == 2:
                self.refused += 1
                yield Call("POST", self.path, (("x-api-key", "wrong" + self.key[1]),), post.body), refusal

    def _echo(self, number: int) -> Call:
        headers = (
            self.key,
            ("x-bench-call", random.randbytes(12).hex()),
            ("accept", "application/json, */*;q=0.1"),
        )
        return Call("POST", f"/echo?call={number}", headers, random.randbytes(random.randrange(LARGEST + 1)))

    def _received(self, answer: Answer, sent: Call) -> list[str]:
        """What /echo tells against what was sent, and the traceparent that came with it."""
        if answer.status != 200:
            return [f"status {answer.status}, not 200: {answer.body[:200]!r}"]
        try:
            told = json.loads(answer.body)
        except ValueError:
            return [f"no JSON: {answer.body[:200]!r}"]
        received = tuple((name, value) for name, value in told["headers"])
        found = arrivals(told, received, sent)
        if self.traced:
            parents = [value for name, value in received if name == "traceparent"]
            match = TRACEPARENT.fullmatch(parents[0]) if len(parents) == 1 else None
            if match is None:
                found.append(f"the origin received {parents or 'no traceparent'}, not one of a sampled trace")
            elif match[1] in self.traces:
                found.append(f"the trace {match[1]} was another call's")
            else:
                self.traces.add(match[1])
        return found


class Caller:
    """One keep-alive connection to a port of 127.0.0.1, opened anew when it was closed."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)

    def ask(self, call: Call) -> Answer:
        """Raises OSError or http.client.HTTPException when there is no answer."""
        self.connection.request(call.method, call.target, call.body or None, dict(call.headers))
        answer = self.connection.getresponse()
        body = answer.read()
        return Answer(
            answer.status, tuple((name.lower(), value) for name, value in answer.getheaders()), body
        )

    def close(self) -> None:
        self.connection.close()


def differences(got: Answer, wanted: Answer, additions: Iterable[str] = ()) -> list[str]:
    """How an answer through the proxy differs from the origin's own, where it may not."""
    found = []
    if got.status != wanted.status:
        found.append(f"status {got.status}, not {wanted.status}")
    if got.body != wanted.body:
        found.append(f"a body of {len(got.body)} bytes that begins {got.body[:80]!r}, not the origin's")
    ours, theirs = by_name(wanted.headers), by_name(got.headers)
    for name in sorted(ours.keys() | theirs.keys()):
        if name in ours and ours[name] != theirs.get(name):
            found.append(f"{name}: {theirs.get(name, 'missing')}, not {ours[name]}")
        elif name not in ours and not any(fnmatchcase(name, addition) for addition in additions):
            found.append(f"{name}: {theirs[name]} was added")
    return found


def arrivals(told: dict[str, object], received: Fields, sent: Call) -> list[str]:
    """How what reached the origin differs from what was sent. Headers may be added, the key kept back."""
    facts = {
        "method": sent.method,
        "target": sent.target,
        "length": len(sent.body),
        "sha256": hashlib.sha256(sent.body).hexdigest(),
    }
    found = [
        f"the origin received {name} {told[name]!r}, not {fact!r}"
        for name, fact in facts.items()
        if told[name] != fact
    ]
    arrived = by_name(received)
    for name, values in by_name(sent.headers).items():
        if arrived.get(name) != values and not (name == "x-api-key" and name not in arrived):
            found.append(f"the origin received {name}: {arrived.get(name, 'not at all')}, not {values}")
    return found


def refusal(answer: Answer) -> list[str]:
    """Without a valid key there is nothing but 401."""
    return [] if answer.status == 401 else [f"status {answer.status} without a valid key, not 401"]


def by_name(headers: Fields) -> dict[str, list[str]]:
    """The values of each header, without those that are each hop's own."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name not in PER_HOP:
            found.setdefault(name, []).append(value)
    return found
