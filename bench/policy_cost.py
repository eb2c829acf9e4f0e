"""What each policy costs a call that passes, in microseconds of CPU, with nothing around the chain.

    python bench/policy_cost.py [--calls 20000] [--rounds 9]

The chain ends in an answer that is there at once: no socket, no parser. Each row is a chain with one policy
more than the row above; rounds of all chains take turns, and the least time of each counts, since whatever
else the machine does only adds to it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from gateway.config import load
from gateway.edge.proxy import Proxy
from gateway.exchange import Attempt, Exchange, Outcome, Response
from gateway.generation import Generation, World
from gateway.recorder import Recorder
from gateway.stores import Stores

KEY = b"bench-key-7f3a9c1e5d2b"
POLICIES = {
    "nothing": "",
    "ip_allow_list": "- ip_allow_list: {networks: [127.0.0.0/8, 10.0.0.0/8, 2001:db8::/32]}",
    "authentication": "- authentication: {accept: [{api_key: {header: X-Api-Key}}]}",
    "rate_limit": "- rate_limit: {rate: 1000000/second, by: consumer}",
    "timeout": "- timeout: {total: 5s}",
    "retry": "- retry: {attempts: 1}",
    "circuit_breaker": "- circuit_breaker: {}",
}
CONFIG = """
version: 1
consumers: {{platform: {{credentials: [{{api_key: "{key}"}}]}}}}
upstreams: {{games: {{targets: [{{url: "http://127.0.0.1:9"}}]}}}}
routes:
  - name: games
    match: {{methods: [GET, POST], path: /games}}
    upstream: games
    policies: [{policies}]
"""
BODY = b'{"games": [' + b'"a game of chance",' * 13 + b'"x"]}'


class AtOnce:
    """An upstream whose answer is there already."""

    async def __call__(self, exchange: Exchange) -> Response:
        attempt = Attempt("http://127.0.0.1:9", "b" * 16, time.perf_counter_ns())
        attempt.ended_ns, attempt.status = attempt.started_ns + 1, 200
        exchange.attempts.append(attempt)
        return Response(200, [(b"content-type", b"application/json"), (b"server", b"x")], BODY)


class Built(Generation):
    """A generation that calls nobody."""

    def _upstream(self, name: str) -> Any:
        del name
        return AtOnce()


def exchange() -> Exchange:
    """A GET as the edge makes it."""
    made = Exchange(
        method="GET",
        path="/games",
        headers=[(b"accept", b"*/*"), (b"user-agent", b"bench"), (b"x-api-key", KEY)],
        authority="127.0.0.1:8080",
        received_ns=time.perf_counter_ns(),
    )
    made.trace_id, made.span_id = "a" * 32, "b" * 16
    return made


def proxies(folder: Path) -> dict[str, Proxy]:
    """A proxy per chain, each with one policy more than the one before."""
    found: dict[str, Proxy] = {}
    lines: list[str] = []
    for name, text in POLICIES.items():
        if text:
            lines.append(text.removeprefix("- "))
        path = folder / f"{name}.yaml"
        path.write_text(
            CONFIG.format(key=KEY.decode(), policies=", ".join("{" + line + "}" for line in lines))
        )
        world = World(control=None, stores=Stores())  # type: ignore[arg-type]
        recorder = Recorder(world.metrics, sink=lambda _batch: None)
        found[name] = Proxy(Built(1, load(path, {}), world), recorder)
    return found


async def through(proxy: Proxy, calls: int, *, record: bool) -> float:
    """CPU microseconds per call."""
    many = [exchange() for _ in range(calls)]
    begin = time.process_time()
    for one in many:
        response = await proxy.answer(one)
        response.finish(Outcome.COMPLETE)
        if record:
            proxy.done(one, response, Outcome.COMPLETE)
    spent = time.process_time() - begin
    assert response.status == 200, response.body
    return spent / calls * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=15)
    told = parser.parse_args()
    gc.freeze()
    gc.set_threshold(50_000, 10, 5)
    with tempfile.TemporaryDirectory() as folder:
        chains = proxies(Path(folder))
        measures: dict[str, Callable[[], Awaitable[float]]] = {
            name: (lambda proxy=proxy: through(proxy, told.calls, record=False))
            for name, proxy in chains.items()
        }
        last = list(chains.values())[-1]
        measures["recording"] = lambda: through(last, told.calls, record=True)
        least = dict.fromkeys(measures, float("inf"))
        for _ in range(told.rounds):
            for name, measure in measures.items():
                least[name] = min(least[name], await measure())
    before = 0.0
    for name, spent in least.items():
        print(f"{name:20} {spent:7.2f} µs  {spent - before:+6.2f}")
        before = spent


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
