"""The tour, step by step. Each step calls, shows, and asserts what its explanation has promised."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

from gateway.demo.client import Answer, Caller, DifferenceError
from gateway.demo.stage import GAMES_TTL_SECONDS, PLATFORM_KEY
from gateway.observer.waterfall import draw

MAXIMUM_FLOOD = 1000
"""Calls after which a limit must have answered."""


class Step(NamedTuple):
    """One stop of the tour."""

    title: str
    explanation: str
    run: Callable[[Caller], None]


def games_of_both(caller: Caller) -> None:
    aurora = caller.call("GET", "/aurora/games").must(200, total=20)
    borealis = caller.call("GET", "/borealis/games").must(200, status=0)
    caller.screen.good(
        f"{len(aurora.body['games'])} games from aurora's REST API, "
        f"{len(borealis.body['data']['items'])} from borealis's procedure calls"
    )


def games_from_cache(caller: Caller) -> None:
    calls = _arrived(caller, "aurora")
    again = caller.call("GET", "/aurora/games").must(200, total=20).must_say("cache-status", "hit")
    _must(_arrived(caller, "aurora") == calls, "aurora was asked again, though a hit was told")
    caller.screen.good(f"answered from memory in {again.milliseconds:.1f} ms; aurora saw nothing of it")


def launches(caller: Caller) -> None:
    order = {"game": "northern-spins", "player": "alice", "currency": "EUR"}
    aurora = caller.call("POST", "/aurora/launch", order).must(201)
    _must("launch_url" in aurora.body, f"a launch URL was told: {aurora.body}")
    procedure = {"method": "openGame", "params": {"id": "5001", "user": "alice", "cur": "EUR"}}
    borealis = caller.call("POST", "/borealis/launch", procedure).must(200, status=0)
    _must("url" in borealis.body["data"], f"a URL was told: {borealis.body}")
    caller.screen.good(
        "our key at each provider was added on the way, the platform's own key was not passed on"
    )


def wallet_calls(caller: Caller) -> None:
    before = caller.balance("alice")
    bet = str(uuid4())
    caller.screen.note(f"alice has {before / 100:.2f} EUR at the platform")
    caller.callback("aurora", kind="bet", player="alice", amount=500, transaction=bet).must(
        200, balance=before - 500
    )
    caller.callback("aurora", kind="win", player="alice", amount=1250).must(200, balance=before + 750)
    caller.callback("aurora", kind="rollback", player="alice", reference=bet).must(200, balance=before + 1250)
    decimal = f"{(before + 1000) / 100:.2f}"
    caller.callback("borealis", kind="bet", player="alice", amount=250).must(200, status=0, balance=decimal)
    after = caller.balance("alice")
    _must(after == before + 1000, f"a balance of {before + 1000} was told, it is {after}")
    caller.screen.good(f"alice has {after / 100:.2f} EUR: −5.00 +12.50, the 5.00 back, −2.50")


def wrong_key(caller: Caller) -> None:
    caller.call("GET", "/aurora/games", key="guessed").must(401, code="UNAUTHENTICATED").must_say(
        "www-authenticate"
    )
    before = caller.balance("alice")
    caller.callback("aurora", kind="bet", player="alice", amount=500, key="guessed").must(
        401, code="UNAUTHENTICATED"
    )
    _must(caller.balance("alice") == before, "the balance moved on a call with a wrong key")
    caller.screen.good("refused in both directions, and no money moved")


def wrong_address(caller: Caller) -> None:
    caller.call("GET", "/backoffice/games").must(403, code="IP_NOT_ALLOWED")
    caller.screen.good("this route lets in 203.0.113.0/24 and 2001:db8::/32, and we call from 127.0.0.1")


def one_vocabulary(caller: Caller) -> None:
    aurora = caller.call("GET", "/aurora/games/atlantis").must(
        404, code="GAME_UNAVAILABLE", provider="aurora"
    )
    _must(aurora.body["native"]["code"] == "NO_SUCH_GAME", f"native NO_SUCH_GAME was told: {aurora.body}")
    borealis = caller.call("GET", "/borealis/game?id=1")
    borealis.must(404, code="GAME_UNAVAILABLE", provider="borealis")
    _must(borealis.body["native"]["code"] == "101", f"native 101 was told: {borealis.body}")
    caller.screen.good("404 NO_SUCH_GAME and 200 with status 101 have become the same GAME_UNAVAILABLE")


def flood(caller: Caller) -> None:
    caller.call("GET", "/borealis/games", quiet=True).must(200)
    passed = 0
    began = time.perf_counter()
    while (answer := caller.call("GET", "/borealis/games", quiet=True)).status == 200:
        passed += 1
        _must(passed < MAXIMUM_FLOOD, f"{passed} calls passed, and no limit answered")
    seconds = time.perf_counter() - began
    caller.screen.note(f"{passed} calls pass")
    caller.screen.request("GET", "/borealis/games", None, {"x-api-key": PLATFORM_KEY})
    caller.screen.answer(answer.status, answer.headers, answer.body, answer.milliseconds)
    answer.must(429, code="RATE_LIMITED").must_say("retry-after")
    caller.screen.good(f"{passed} calls passed in {seconds:.2f} s, the next was told when to come back")
    _until("/borealis/games", lambda: caller.call("GET", "/borealis/games", quiet=True), 200)


def live_table(caller: Caller) -> None:
    with caller.table("/aurora/live/roulette-1") as seat:
        seat.send("10 on red")
        told = [seat.recv(timeout=5) for _ in range(4)]
        for message in told:
            caller.screen.piece(str(message))
    events = [json.loads(message)["event"] for message in told]
    _must(events[0] == "welcome" and {"round", "accepted"} <= set(events), f"the table said {events}")
    rounds = [json.loads(data)["round"] for data in caller.events("/aurora/feed/roulette-1", 3)]
    _must(rounds == [1, 2, 3], f"rounds 1, 2, 3 were told: {rounds}")
    caller.screen.good("both streams came through piece by piece, with the provider's key added")


class Outage:
    """Steps that belong together: aurora goes away, and comes back."""

    def __init__(self) -> None:
        self.trace_id = ""
        """A call with retries, for the waterfall at the end."""
        self._codes = iter(
            (
                "glacier-gold",
                "polar-panther",
                "fjord-fortune",
                "midnight-sun",
                "reindeer-riches",
                "solar-flare",
                "icebreaker-deluxe",
                "magnetic-storm",
                "arctic-fox-trot",
                "green-curtain",
                "snow-owl-nights",
                "lapland-lanterns",
            )
        )

    def _game_nobody_asked_for(self, caller: Caller, *, quiet: bool = False) -> Answer:
        return caller.call("GET", f"/aurora/games/{next(self._codes)}", quiet=quiet)

    def retries(self, caller: Caller) -> None:
        self._game_nobody_asked_for(caller).must(200)
        caller.fault("aurora", reset=True, times=1, path="/v1/games")
        before = _arrived(caller, "aurora")
        self._game_nobody_asked_for(caller).must(200)
        tries = _arrived(caller, "aurora") - before
        _must(tries == 2, f"two tries were told, aurora saw {tries}")
        caller.fault("aurora")
        caller.screen.good("aurora hung up on the first try; the second, a moment later, was answered")

    def breaker(self, caller: Caller) -> None:
        caller.fault("aurora", outage=True)
        for failed in range(1, 8):
            answer = self._game_nobody_asked_for(caller, quiet=failed not in {1, 6})
            if answer.status == 503:
                break
            _must(answer.status in {502, 504}, f"502 or 504 was told, {answer.status} came: {answer.body}")
            self.trace_id = self.trace_id or answer.body["trace_id"]
        answer.must(503, code="CIRCUIT_OPEN", retryable=True).must_say("retry-after")
        before = _arrived(caller, "aurora")
        self._game_nobody_asked_for(caller, quiet=True).must(503, code="CIRCUIT_OPEN")
        _must(_arrived(caller, "aurora") == before, "aurora was called, though the circuit is open")
        caller.screen.good(
            f"after {failed - 1} failures the circuit is open: aurora is left alone, callers wait for nothing"
        )

    def stale(self, caller: Caller) -> None:
        kept = caller.call("GET", "/aurora/games", quiet=True).must(200)
        time.sleep(max(0, GAMES_TTL_SECONDS + 1 - int(kept.headers.get("age", 0))))
        answer = caller.call("GET", "/aurora/games").must(200, total=20).must_say("cache-status", "hit")
        age = int(answer.headers.get("age", 0))
        _must(age > GAMES_TTL_SECONDS, f"a stale answer was told, this one is only {age} s old")
        caller.screen.good(f"the list is {age} s old, past its {GAMES_TTL_SECONDS} seconds: better than none")

    def recovery(self, caller: Caller) -> None:
        caller.fault("aurora")
        began = time.perf_counter()
        path = "/aurora/games/northern-spins"
        answer = _until(path, lambda: caller.call("GET", path, quiet=True), 200)
        caller.screen.request("GET", path, None, {})
        caller.screen.answer(answer.status, answer.headers, answer.body, answer.milliseconds)
        caller.screen.good(
            f"after {time.perf_counter() - began:.1f} s a probe went through and closed the circuit"
        )

    def waterfall(self, caller: Caller) -> None:
        _must(bool(self.trace_id), "no call of the outage failed, so there is none to draw")
        trace = _until_traced(caller, self.trace_id)
        draw(trace, caller.screen.console)
        kinds = [span["kind"] for span in trace["spans"]]
        _must(kinds.count("server") == 1 and kinds.count("client") >= 1, f"the trace has spans {kinds}")
        caller.screen.good(f"`gateway traces {self.trace_id[:8]}` draws it again; every call has one")


def tour() -> list[Step]:
    """All steps, in order."""
    outage = Outage()
    return [
        Step(
            "Games of two providers",
            "One key and one address for the platform, two APIs behind it: REST here, procedure calls there.",
            games_of_both,
        ),
        Step(
            "The same again, from memory",
            "Lists of games change seldom: the second answer comes from the cache, and says so (RFC 9211).",
            games_from_cache,
        ),
        Step(
            "Launching a game",
            "The platform asks for a launch URL; each provider gets our key in the form it wants.",
            launches,
        ),
        Step(
            "Bet, win, rollback",
            "Providers call the wallet through the gateway, each in its own words and with its own key.",
            wallet_calls,
        ),
        Step("A wrong key", "Who cannot prove who he is gets no further than this.", wrong_key),
        Step("A wrong address", "A right key from a wrong place is not enough.", wrong_address),
        Step(
            "Two errors, one code",
            "Each provider has its own word for a game it does not have. The platform reads only one.",
            one_vocabulary,
        ),
        Step(
            "A live table",
            "WebSocket and server-sent events pass through, both ways and as they happen.",
            live_table,
        ),
        Step("A flood", "The route takes 50 calls a second from each consumer. We send more.", flood),
        Step(
            "A hiccup",
            "Aurora hangs up in the middle of a call. Reading twice harms nobody, so it is tried again.",
            outage.retries,
        ),
        Step(
            "An outage",
            "Aurora is gone. A few calls fail slowly, then the breaker opens and they fail at once.",
            outage.breaker,
        ),
        Step(
            "Games in spite of it",
            "The list of games is past its time, but an old list sells better than an error (RFC 5861).",
            outage.stale,
        ),
        Step("Recovery", "Aurora is back. A probe finds out, and everything is as before.", outage.recovery),
        Step(
            "Where the time went",
            "One call of the outage as a trace: the gateway's span, each policy that decided, each attempt.",
            outage.waterfall,
        ),
    ]


def _arrived(caller: Caller, provider: str) -> int:
    """Calls that reached a provider, health probes excepted."""
    by_path = caller.control("GET", f"{getattr(caller.at, provider)}/_sandbox/calls")["by_path"]
    return sum(count for path, count in by_path.items() if path not in {"GET /health", "GET /ping"})


def _must(truth: bool, otherwise: str) -> None:
    if not truth:
        raise DifferenceError(otherwise)


def _until(what: str, ask: Callable[[], Answer], status: int, seconds: float = 10) -> Answer:
    until = time.monotonic() + seconds
    while (answer := ask()).status != status:
        _must(
            time.monotonic() < until, f"{what} was to answer {status} within {seconds:.0f} s: {answer.body}"
        )
        time.sleep(0.1)
    return answer


def _until_traced(caller: Caller, trace_id: str, seconds: float = 5) -> dict[str, Any]:
    """The trace, once the observer has it: recording holds no call up, so it may be a moment late."""
    until = time.monotonic() + seconds
    while True:
        try:
            trace: dict[str, Any] = caller.control("GET", f"{caller.at.admin}/api/traces/{trace_id}")
        except DifferenceError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return trace
