from __future__ import annotations

from types import SimpleNamespace

from gateway.edge.limits import EdgeLimits


def test_the_defaults_are_the_contracts():
    limits = EdgeLimits()
    assert (limits.head, limits.headers, limits.target, limits.body) == (32 << 10, 100, 8 << 10, 1 << 20)
    assert (limits.head_timeout, limits.body_timeout, limits.idle_timeout, limits.write_timeout) == (
        5,
        10,
        60,
        30,
    )
    assert (limits.connections, limits.connections_per_client) == (10_000, 1000)


def test_a_server_section_says_what_it_wants_changed():
    server = SimpleNamespace(limits=SimpleNamespace(body=5, head_timeout=1.5))
    assert EdgeLimits.of(server) == EdgeLimits(body=5, head_timeout=1.5)
