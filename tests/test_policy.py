"""Policies nest in the order written, and shadows let pass what they would refuse."""

from __future__ import annotations

from typing import ClassVar

import pytest

from gateway.chain import chain
from gateway.errors import Refused
from gateway.policy import PolicyConfig
from tests.support import Upstream, make_exchange, make_services


class Gate(PolicyConfig):
    name: ClassVar[str] = "gate"


class OwnShadow(Gate):
    shadows_itself: ClassVar[bool] = True


def passing(log, name):
    async def policy(exchange, forward):
        log.append(f"{name} in")
        response = await forward(exchange)
        log.append(f"{name} out")
        return response

    return policy


def refusing(exchange, forward):
    raise Refused("FORBIDDEN", "no")


async def refusing_late(exchange, forward):
    await forward(exchange)
    raise Refused("FORBIDDEN", "after all")


async def test_the_list_you_read_is_the_order_you_get():
    log, call = [], make_exchange()
    forward = chain([(Gate(), passing(log, name)) for name in "abc"], Upstream())
    assert (await forward(call)).status == 200
    assert log == ["a in", "b in", "c in", "c out", "b out", "a out"]
    assert call.marks[::2] == [0, 1, 2]
    assert call.marks[1::2] == sorted(call.marks[1::2])


async def test_no_policy_is_the_upstream_itself():
    upstream = Upstream()
    assert chain([], upstream) is upstream


async def test_a_gate_refuses():
    upstream = Upstream()
    with pytest.raises(Refused):
        chain([(Gate(), refusing)], upstream)(make_exchange())
    assert upstream.calls == 0


@pytest.mark.parametrize("config", [Gate, OwnShadow])
async def test_a_shadow_that_the_chain_sees_to(config):
    upstream, call = Upstream(), make_exchange()
    forward = chain([(config(mode="shadow"), refusing)], upstream)
    if config is OwnShadow:
        with pytest.raises(Refused):
            await forward(call)
        return
    assert (await forward(call)).status == 200
    assert upstream.calls == 1
    assert call.decisions == [("gate", "would_refuse", "FORBIDDEN")]


async def test_a_shadow_that_passes_says_nothing():
    call, log = make_exchange(), []
    await chain([(Gate(mode="shadow"), passing(log, "a"))], Upstream())(call)
    assert call.decisions == []


async def test_a_shadow_hides_no_refusal_from_further_in():
    call, upstream = make_exchange(), Upstream()
    forward = chain([(Gate(mode="shadow"), passing([], "a")), (Gate(), refusing)], upstream)
    with pytest.raises(Refused):
        await forward(call)
    assert upstream.calls == 0
    assert call.decisions == []


async def test_a_shadow_never_sends_a_call_twice():
    upstream = Upstream()
    with pytest.raises(Refused, match="after all"):
        await chain([(Gate(mode="shadow"), refusing_late)], upstream)(make_exchange())
    assert upstream.calls == 1


async def test_what_a_config_that_says_nothing_says():
    config = Gate()
    for unsaid in (config.describe, lambda: config.build(make_services())):
        with pytest.raises(NotImplementedError):
            unsaid()
    assert await config.foresee(make_exchange(), make_services()) == "passes it on"
    assert config.secret_parameters() == frozenset()
