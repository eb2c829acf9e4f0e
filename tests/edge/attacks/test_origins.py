"""What a hostile or broken origin can do to a call, to its connection, and to the call after it.

One connection at most goes to each upstream, so a slot that leaks or an answer that is left over hits the
very next call, which must get its own.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from functools import partial

import pytest

from tests.edge.attacks.caller import PATIENCE_SECONDS, Caller, Told
from tests.edge.attacks.hostile import HostileOrigin, Visit, hostile_origin
from tests.edge.attacks.origins import CASES, Misdeed
from tests.scenarios.running import Gateway

ORIGIN = hostile_origin
CONFIG = """
    version: 1
    upstreams:
      patient:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        timeout: {{connect: 10s, response: 20s, idle: 20s, total: 30s}}
        pool: {{max_connections: 1}}
      impatient:
        targets: [{{url: "http://127.0.0.1:{port}"}}]
        timeout: {{connect: 1s, response: 500ms, idle: 500ms, total: 1s}}
        pool: {{max_connections: 1}}
    routes:
      - {{name: patient, match: {{methods: [GET, HEAD], path: /patient/*}}, upstream: patient}}
      - {{name: impatient, match: {{methods: [GET, HEAD], path: /impatient/*}}, upstream: impatient}}
"""


class Cues:
    """How far the caller is, and the origin."""

    def __init__(self) -> None:
        self.has_head = threading.Event()
        self.has_all = threading.Event()
        self.strayed = threading.Event()

    def play(self, misdeed: Misdeed, visit: Visit) -> None:
        """The origin's part."""
        visit.say(misdeed.says)
        if misdeed.later:
            self.has_head.wait(PATIENCE_SECONDS)
            visit.say(misdeed.later)
        while misdeed.over_and_over:
            visit.say(misdeed.over_and_over)
            time.sleep(misdeed.pause_seconds)
        if misdeed.stray is not None:
            self.has_all.wait(PATIENCE_SECONDS)
            visit.say(misdeed.stray)
        if misdeed.then == "resets":
            visit.reset()
        elif misdeed.then == "ends":
            visit.stop()
        self.strayed.set()
        if misdeed.then == "ends":
            visit.end()

    def let_go(self) -> None:
        """Nobody waits any longer."""
        self.has_head.set()
        self.has_all.set()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.attack(case.family), id=f"{case.family}-{case.name}")
        for case in CASES
    ],
)
def test_misdeed(case: Misdeed, edge: Gateway, origin: HostileOrigin) -> None:
    upstream = b"/impatient" if case.slow else b"/patient"
    bad, *others = (upstream + path + uuid.uuid4().hex.encode() for path in (b"/bad/", b"/good/", b"/good/"))
    cues = Cues()
    origin.play = partial(cues.play, case)
    with Caller(edge.port) as caller:
        try:
            caller.ask(bad, case.method)
            told = caller.read(case.method, on_head=cues.has_head.set)
            cues.has_all.set()
            assert verdict(case, told) == ""
            if case.stray is not None:
                assert cues.strayed.wait(PATIENCE_SECONDS)
            visit = origin.visit_for(bad)
            if caller.over:
                assert caller.ended(), "more came than the answer"
                ask_for_their_own(edge, others)
            else:
                for target in others:
                    caller.ask(target)
                    assert caller.read().body == target
        finally:
            cues.let_go()
    assert visit.targets[visit.targets.index(bad) + 1 :] == (others if case.reused else [])
    if not case.reused:
        assert visit.is_gone(), "the gateway keeps the connection"


def ask_for_their_own(edge: Gateway, targets: list[bytes]) -> None:
    with Caller(edge.port) as caller:
        for target in targets:
            caller.ask(target)
            assert caller.read().body == target


def verdict(case: Misdeed, told: Told) -> str:
    """What is wrong with what the caller was told; empty where nothing is."""
    if b"poison" in b"".join((told.body, *(value for _, value in told.fields))):
        return f"it was told what was planted: {told}"
    if told.status != case.status:
        return f"answered {told.status}, not {case.status}: {told.body!r}"
    if case.status in (502, 504):
        if told.value(b"content-type") != b"application/problem+json":
            return f"a {told.status} of the origin's: {told}"
        code = json.loads(told.body)["code"]
        return "" if code == case.code else f"the code is {code}"
    if case.cut:
        if told.whole:
            return f"a body that broke off was told as whole: {told.body!r}"
        return "" if case.body.startswith(told.body) else f"its body begins {told.body!r}"
    return "" if told.whole and told.body == case.body else f"its body is {told.body!r}, whole: {told.whole}"


def test_nothing_is_left_over(edge: Gateway) -> None:
    ask_for_their_own(edge, [b"/patient/good/last", b"/impatient/good/last"])
    assert edge.metric("gateway_requests_in_flight") == 0
    assert edge.metric("gateway_upstream_connections", state="active") == 0
    assert edge.metric("gateway_upstream_connections", state="waiting") == 0
    assert [line for line in edge.lines if "Traceback" in line] == []


def test_cases_have_names_of_their_own() -> None:
    names = Counter(case.name for case in CASES)
    assert max(names.values()) == 1, names.most_common(3)
    assert len(CASES) > 150
