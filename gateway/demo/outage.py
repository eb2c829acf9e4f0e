"""The steps of the tour that belong together: a provider hiccups, goes away, and comes back."""

from __future__ import annotations

import time

from gateway.demo.client import Answer, Caller, must, until
from gateway.demo.stage import GAMES_TTL_SECONDS
from gateway.observer.waterfall import render_trace


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
        before = caller.arrived("aurora")
        self._game_nobody_asked_for(caller).must(200)
        tries = caller.arrived("aurora") - before
        must(tries == 2, f"two tries were told, aurora saw {tries}")
        caller.fault("aurora")
        caller.screen.good("aurora hung up on the first try; the second, a moment later, was answered")

    def breaker(self, caller: Caller) -> None:
        caller.fault("aurora", outage=True)
        for failed in range(1, 8):
            answer = self._game_nobody_asked_for(caller, quiet=failed not in {1, 6})
            if answer.status == 503:
                break
            must(answer.status in {502, 504}, f"502 or 504 was told, {answer.status} came: {answer.body}")
            self.trace_id = self.trace_id or answer.said("trace_id") or ""
        answer.must(503, code="CIRCUIT_OPEN", retryable=True).must_say("retry-after")
        before = caller.arrived("aurora")
        self._game_nobody_asked_for(caller, quiet=True).must(503, code="CIRCUIT_OPEN")
        must(caller.arrived("aurora") == before, "aurora was called, though the circuit is open")
        caller.screen.good(
            f"after {failed - 1} failures the circuit is open: aurora is left alone, callers wait for nothing"
        )

    def stale(self, caller: Caller) -> None:
        kept = caller.call("GET", "/aurora/games", quiet=True).must(200)
        time.sleep(max(0, GAMES_TTL_SECONDS + 1 - int(kept.headers.get("age", 0))))
        answer = caller.call("GET", "/aurora/games").must(200, total=20).must_say("cache-status", "hit")
        age = int(answer.headers.get("age", 0))
        must(age > GAMES_TTL_SECONDS, f"a stale answer was told, this one is only {age} s old")
        caller.screen.good(f"the list is {age} s old, past its {GAMES_TTL_SECONDS} seconds: better than none")

    def recovery(self, caller: Caller) -> None:
        caller.fault("aurora")
        began = time.perf_counter()
        path = "/aurora/games/northern-spins"
        answer = until(200, lambda: caller.call("GET", path, quiet=True))
        caller.screen.request("GET", path, None, {})
        caller.screen.answer(answer.status, answer.headers, answer.body, answer.milliseconds)
        caller.screen.good(
            f"after {time.perf_counter() - began:.1f} s a probe went through and closed the circuit"
        )

    def waterfall(self, caller: Caller) -> None:
        must(bool(self.trace_id), "no call of the outage failed, so there is none to draw")
        trace = caller.trace(self.trace_id)
        caller.screen.console.print(render_trace(trace, caller.screen.console), markup=False, highlight=False)
        kinds = [span["kind"] for span in trace["spans"]]
        must(kinds.count("server") == 1 and kinds.count("client") >= 1, f"the trace has spans {kinds}")
        caller.screen.good(f"`gateway traces {self.trace_id[:8]}` draws it again; every call has one")
