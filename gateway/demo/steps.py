"""The tour, step by step. Each step calls, shows, and asserts what its explanation has promised."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from gateway.demo.client import Caller, must, until
from gateway.demo.outage import Outage
from gateway.demo.stage import PLATFORM_KEY

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
    calls = caller.arrived("aurora")
    again = caller.call("GET", "/aurora/games").must(200, total=20).must_say("cache-status", "hit")
    must(caller.arrived("aurora") == calls, "aurora was asked again, though a hit was told")
    caller.screen.good(f"answered from memory in {again.milliseconds:.1f} ms; aurora saw nothing of it")


def launches(caller: Caller) -> None:
    order = {"game": "northern-spins", "player": "alice", "currency": "EUR"}
    aurora = caller.call("POST", "/aurora/launch", order).must(201)
    must("launch_url" in aurora.body, f"a launch URL was told: {aurora.body}")
    procedure = {"method": "openGame", "params": {"id": "5001", "user": "alice", "cur": "EUR"}}
    borealis = caller.call("POST", "/borealis/launch", procedure).must(200, status=0)
    must("url" in borealis.body["data"], f"a URL was told: {borealis.body}")
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
    must(after == before + 1000, f"a balance of {before + 1000} was told, it is {after}")
    caller.screen.good(f"alice has {after / 100:.2f} EUR: −5.00 +12.50, the 5.00 back, −2.50")


def wrong_key(caller: Caller) -> None:
    caller.call("GET", "/aurora/games", key="guessed").must(401, code="UNAUTHENTICATED").must_say(
        "www-authenticate"
    )
    before = caller.balance("alice")
    caller.callback("aurora", kind="bet", player="alice", amount=500, key="guessed").must(
        401, code="UNAUTHENTICATED"
    )
    must(caller.balance("alice") == before, "the balance moved on a call with a wrong key")
    caller.screen.good("refused in both directions, and no money moved")


def wrong_address(caller: Caller) -> None:
    caller.call("GET", "/backoffice/games").must(403, code="IP_NOT_ALLOWED")
    caller.screen.good("this route lets in 203.0.113.0/24 and 2001:db8::/32, and we call from 127.0.0.1")


def one_vocabulary(caller: Caller) -> None:
    aurora = caller.call("GET", "/aurora/games/atlantis").must(
        404, code="GAME_UNAVAILABLE", provider="aurora"
    )
    must(aurora.body["native"]["code"] == "NO_SUCH_GAME", f"native NO_SUCH_GAME was told: {aurora.body}")
    borealis = caller.call("GET", "/borealis/game?id=1")
    borealis.must(404, code="GAME_UNAVAILABLE", provider="borealis")
    must(borealis.body["native"]["code"] == "101", f"native 101 was told: {borealis.body}")
    caller.screen.good("404 NO_SUCH_GAME and 200 with status 101 have become the same GAME_UNAVAILABLE")


def flood(caller: Caller) -> None:
    caller.call("GET", "/borealis/games", quiet=True).must(200)
    passed = 0
    began = time.perf_counter()
    while (answer := caller.call("GET", "/borealis/games", quiet=True)).status == 200:
        passed += 1
        must(passed < MAXIMUM_FLOOD, f"{passed} calls passed, and no limit answered")
    seconds = time.perf_counter() - began
    caller.screen.note(f"{passed} calls pass")
    caller.screen.request("GET", "/borealis/games", None, {"x-api-key": PLATFORM_KEY})
    caller.screen.answer(answer.status, answer.headers, answer.body, answer.milliseconds)
    answer.must(429, code="RATE_LIMITED").must_say("retry-after")
    caller.screen.good(f"{passed} calls passed in {seconds:.2f} s, the next was told when to come back")
    until(200, lambda: caller.call("GET", "/borealis/games", quiet=True))


def live_table(caller: Caller) -> None:
    with caller.table("/aurora/live/roulette-1") as seat:
        seat.send("10 on red")
        told = [seat.recv(timeout=5) for _ in range(4)]
        for message in told:
            caller.screen.piece(str(message))
    events = [json.loads(message)["event"] for message in told]
    must(events[0] == "welcome" and {"round", "accepted"} <= set(events), f"the table said {events}")
    rounds = [json.loads(data)["round"] for data in caller.events("/aurora/feed/roulette-1", 3)]
    must(rounds == [1, 2, 3], f"rounds 1, 2, 3 were told: {rounds}")
    caller.screen.good("both streams came through piece by piece, with the provider's key added")


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
