from __future__ import annotations

from gateway.caching.landing import Uncacheable


def test_keys_are_forgotten_after_a_while():
    known = Uncacheable()
    known.add("a", 0.0)
    assert known.has("a", 9.9)
    assert not known.has("a", 10.0)
    assert len(known) == 0
    assert not known.has("b", 0.0)


def test_the_oldest_key_makes_room():
    known = Uncacheable(most=2)
    for key in ("a", "b", "a", "c"):
        known.add(key, 0.0)
    assert [key for key in "abc" if known.has(key, 0.0)] == ["a", "c"]
