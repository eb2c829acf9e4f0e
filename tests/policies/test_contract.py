"""What every policy promises, whatever it does: one test of each promise, over all policies there are."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.chain import chain
from gateway.config import load
from gateway.consumers import ConsumerConfig
from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Outcome, Response
from gateway.generation import Generation, World
from gateway.metrics import render
from gateway.policies import POLICIES
from gateway.policy import Forward, PolicyConfig
from gateway.services import RouteFacts, Services
from gateway.stores import Stores
from tests.support import NoControl, Upstream, make_exchange, make_services

KEY = "platform-key"
EXAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ip_allow_list": ({"networks": ["127.0.0.0/8"]}, {"networks": ["127.0.0.0/8", "10.0.0.0/8"]}),
    "authentication": ({"accept": ["api_key"]}, {"accept": ["api_key"], "consumers": ["platform"]}),
    "rate_limit": ({"rate": "1000/second"}, {"rate": "1001/second"}),
    "concurrency": ({"max": 1}, {"max": 2}),
    "circuit_breaker": ({"failures": 5}, {"failures": 6}),
    "retry": ({"attempts": 2, "budget": "100%"}, {"attempts": 3, "budget": "100%"}),
    "timeout": ({"total": "5s"}, {"total": "6s"}),
    "cache": ({"ttl": "5m"}, {"ttl": "6m"}),
    "error_codes": ({}, {"statuses": {"418": "FINAL"}}),
    "upstream_auth": (
        {"api_key": {"header": "x-a", "value": "canary"}},
        {"api_key": {"header": "x-b", "value": "canary"}},
    ),
    "headers": ({"response": {"set": {"x-a": "1"}}}, {"response": {"set": {"x-b": "1"}}}),
    "fallback": ({"respond": {"status": 200, "text": "down"}}, {"respond": {"status": 203, "text": "down"}}),
}
"""Two configurations of each policy that let the exchanges below pass, and that differ in a figure."""

REFUSING: dict[str, dict[str, Any]] = {
    "ip_allow_list": {"networks": ["192.0.2.0/24"]},
    "authentication": {"accept": ["basic"]},
    "rate_limit": {"rate": "1/day"},
    "concurrency": {"max": 1},
    "circuit_breaker": {"failures": 1},
}
"""Configurations that refuse at least one of three calls in flight together, the first of which fails."""

every_policy = pytest.mark.parametrize("name", POLICIES)
every_mode = pytest.mark.parametrize("mode", ["enforce", "shadow"])


def make(name: str, fields: dict[str, Any] | None = None, **more: Any) -> PolicyConfig:
    return POLICIES[name].model_validate((EXAMPLES[name][0] if fields is None else fields) | more)


def services() -> Services:
    platform = ConsumerConfig.model_validate(
        {"credentials": [{"api_key": KEY}, {"basic": {"username": "platform", "password": KEY}}]}
    )
    return make_services(
        consumers={"platform": platform.consumer("platform")}, route=RouteFacts("games", "aurora")
    )


def exchange() -> Exchange:
    made = make_exchange(headers=[(b"x-api-key", KEY.encode()), (b"accept", b"*/*")], authority="a.example")
    made.target = made.path
    return made


def surroundings(call: Exchange) -> tuple[object, ...]:
    """What a policy sets for those inside of it, and gives back to those outside."""
    return call.deadline, call.admit_target, call.tls_identity


def numbers(world: Services) -> str:
    return render(world.metrics.snapshot())


def ok(_: Exchange) -> Response:
    return Response(200, [(b"content-type", b"application/json")], b"{}")


def temporary(_: Exchange) -> Response:
    return Response(503, [], b"")


ENDINGS: dict[str, Callable[[], Callable[[Exchange], Response] | BaseException]] = {
    "answered": lambda: ok,
    "temporary": lambda: temporary,
    "unauthenticated": lambda: lambda _: Response(401, [], b""),
    "unreachable": lambda: UpstreamError("UPSTREAM_UNREACHABLE", "no", sent=Sent.NO, reason="refused"),
    "refused": lambda: Refused("FORBIDDEN", "further in"),
    "a bug": lambda: ZeroDivisionError(),
}


def test_every_policy_has_examples() -> None:
    assert list(EXAMPLES) == list(POLICIES)
    assert all(config.name == name for name, config in POLICIES.items())


@every_policy
def test_its_sentence_tells_its_figures(name: str) -> None:
    one, other = (make(name, fields).describe() for fields in EXAMPLES[name])
    assert one != other
    for sentence in (one, other):
        assert sentence == sentence.strip()
        assert sentence[0].islower(), "it continues `aurora-games: ...`"
        assert not sentence.endswith(".")
        assert "\n" not in sentence
        assert "canary" not in sentence


@every_policy
def test_its_configuration_is_frozen_and_strict(name: str) -> None:
    config = make(name)
    with pytest.raises(ValidationError, match="frozen"):
        config.mode = "off"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        make(name, unheard_of=1)
    with pytest.raises(ValidationError, match="mode"):
        make(name, mode="sometimes")


@every_policy
def test_its_configuration_travels_between_processes(name: str) -> None:
    for fields in EXAMPLES[name]:
        config = make(name, fields)
        copy = pickle.loads(pickle.dumps(config))
        assert copy == config
        assert copy.model_dump_json() == config.model_dump_json()
        assert copy.describe() == config.describe()
        assert "canary" not in config.model_dump_json() + repr(config)


@every_policy
@every_mode
@pytest.mark.parametrize("ending", ENDINGS)
async def test_it_forwards_once_unless_it_says_otherwise(name: str, mode: str, ending: str) -> None:
    config, world = make(name, mode=mode), services()
    upstream = Upstream(ENDINGS[ending]())
    call = exchange()
    before = surroundings(call)
    try:
        response = await chain([(config, config.build(world))], upstream)(call)
    except (UpstreamError, Refused, ZeroDivisionError):
        pass
    else:
        response.finish(Outcome.COMPLETE)
    assert upstream.calls == 1 or (config.forwards_again and mode == "enforce")
    assert surroundings(call) == before


@every_policy
@every_mode
@pytest.mark.parametrize("code", ["FORBIDDEN", "RATE_LIMITED", "UNAUTHENTICATED"])
async def test_a_refusal_from_further_in_passes(name: str, mode: str, code: str) -> None:
    """A fallback stands in only where a refusal is about the provider: `circuit_open` and `busy`."""
    config, refusal = make(name, mode=mode), Refused(code, "further in", headers=((b"x-inner", b"1"),))
    with pytest.raises(Refused) as caught:
        await chain([(config, config.build(services()))], Upstream(refusal))(exchange())
    assert caught.value is refusal
    assert (refusal.code, refusal.detail) == (code, "further in")
    assert (b"x-inner", b"1") in refusal.headers


@every_policy
@every_mode
async def test_a_bug_further_in_passes(name: str, mode: str) -> None:
    config, bug = make(name, mode=mode), ZeroDivisionError()
    with pytest.raises(ZeroDivisionError) as caught:
        await chain([(config, config.build(services()))], Upstream(bug))(exchange())
    assert caught.value is bug


class Crossing:
    """Three calls under way together: the first fails, the others are answered."""

    def __init__(self) -> None:
        self.reached = 0
        self.open = asyncio.Event()

    async def __call__(self, _: Exchange) -> Response:
        self.reached += 1
        if self.reached == 1:
            raise UpstreamError("UPSTREAM_UNREACHABLE", "no", sent=Sent.NO, reason="refused")
        await self.open.wait()
        return ok(_)


async def end_of(call: Exchange, forward: Forward) -> Response | Exception:
    """A gate refuses before there is anything to await."""
    try:
        return await forward(call)
    except (Refused, UpstreamError) as error:
        return error


async def three_calls(
    forward: Forward, origin: Crossing
) -> tuple[list[Exchange], list[Response | Exception]]:
    calls = [exchange() for _ in range(3)]
    ends = [await end_of(calls[0], forward)]
    tasks = [asyncio.create_task(end_of(call, forward)) for call in calls[1:]]
    for _ in range(10):
        await asyncio.sleep(0)
    origin.open.set()
    ends += await asyncio.gather(*tasks)
    return calls, ends


@pytest.mark.parametrize("name", REFUSING)
async def test_a_shadow_says_what_it_would_refuse_and_lets_it_pass(name: str) -> None:
    refused = {}
    for mode in ("enforce", "shadow"):
        config, origin = make(name, REFUSING[name], mode=mode), Crossing()
        calls, ends = await three_calls(chain([(config, config.build(services()))], origin), origin)
        refused[mode] = sum(isinstance(end, Refused) for end in ends)
        told = [decision for call in calls for _, decision, _ in call.decisions]
        if mode == "shadow":
            assert origin.reached == 3
            assert any(decision.startswith("would_") for decision in told)
            assert "refused" not in told
        else:
            assert "refused" in told
    assert refused["enforce"] > 0
    assert refused["shadow"] == 0


@every_policy
async def test_a_shadow_changes_nothing_about_call_and_answer(name: str) -> None:
    config, upstream = make(name, mode="shadow"), Upstream(ok)
    call, bare = exchange(), exchange()
    response = await chain([(config, config.build(services()))], upstream)(call)
    assert (call.method, call.target, call.headers, call.body) == (
        bare.method,
        bare.target,
        bare.headers,
        bare.body,
    )
    assert (response.status, response.headers, response.body) == (200, ok(call).headers, b"{}")
    assert response.kind == ""


@every_policy
@every_mode
async def test_a_caller_that_leaves_takes_everything_along(name: str, mode: str) -> None:
    config, world = make(name, mode=mode), services()
    entered, cancelled = asyncio.Event(), []

    async def silent(_: Exchange) -> Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        raise AssertionError

    policy, call = config.build(world), exchange()
    before, tasks = surroundings(call), asyncio.all_tasks()
    left = asyncio.ensure_future(chain([(config, policy)], silent)(call))
    await entered.wait()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    for _ in range(5):  # a fetch that nobody waits for any more is told one turn of the loop later
        await asyncio.sleep(0)
    assert cancelled == [True]
    assert asyncio.all_tasks() == tasks
    assert surroundings(call) == before
    # Slots, circuits and flights are as if it had never called: the next call passes.
    upstream = Upstream(ok)
    response = await chain([(config, policy)], upstream)(exchange())
    assert (response.status, upstream.calls) == (200, 1)
    response.finish(Outcome.COMPLETE)


@every_policy
@pytest.mark.parametrize("fields", ["passes", "refuses"])
async def test_foreseeing_changes_nothing(name: str, fields: str) -> None:
    if fields == "refuses" and name not in REFUSING:
        return
    config = make(name, EXAMPLES[name][0] if fields == "passes" else REFUSING[name])
    told = []
    for foreseen in (0, 2):
        world, upstream = services(), Upstream(ok)
        forward = chain([(config, config.build(world))], upstream)
        kept, counted = dict(world.state._kept), numbers(world)
        for _ in range(foreseen):
            with suppress(Refused):
                sentence = await config.foresee(exchange(), world)
                assert sentence
                assert not sentence.endswith(".")
        assert (world.state._kept, numbers(world)) == (kept, counted)
        assert upstream.calls == 0
        call = exchange()
        try:
            response = await forward(call)
            told.append((response.status, response.headers, call.decisions, numbers(world)))
        except Refused as refusal:
            told.append((refusal.code, refusal.detail, call.decisions, numbers(world)))
    assert told[0] == told[1]


@every_policy
async def test_foresight_and_deed_agree_on_the_first_call(name: str) -> None:
    for fields in filter(None, (EXAMPLES[name][0], REFUSING.get(name))):
        config, world = make(name, fields), services()
        foreseen = ""
        try:
            await config.foresee(exchange(), world)
        except Refused as refusal:
            foreseen = refusal.code
        end = await end_of(exchange(), chain([(config, config.build(world))], Upstream(ok)))
        assert foreseen == (end.code if isinstance(end, Refused) else "")


@every_policy
async def test_off_is_absent(name: str, tmp_path: Path) -> None:
    fields = EXAMPLES[name][0] | {"mode": "off"}
    document = {
        "version": 1,
        "consumers": {"platform": {"credentials": [{"api_key": KEY}]}},
        "upstreams": {"aurora": {"targets": [{"url": "http://127.0.0.1:9"}]}},
        "routes": [
            {
                "name": "games",
                "match": {"methods": ["GET"], "path": "/games"},
                "upstream": "aurora",
                "policies": [{name: fields}],
            }
        ],
    }
    path = tmp_path / "routes.yaml"
    path.write_text(json.dumps(document))
    world = World(control=NoControl(), stores=Stores())
    generation = Generation(1, load(path, {}), world)
    (route,) = generation.router.routes
    assert [policy.name for policy in route.policies] == [name]
    assert route.entry.policies == ()
    assert route.forward is generation.upstreams["aurora"]
