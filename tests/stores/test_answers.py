from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.stores.answers import AnswerMemory

LIMIT = 1000


@dataclass
class Kept:
    size: int
    tags: tuple[str, ...] = ("route:a",)
    share: int | None = None


def test_the_least_recently_used_leaves_first():
    memory = AnswerMemory(100)
    for key in "abcd":
        assert memory.put(key, Kept(25))
    memory.get("a")
    memory.peek("b")
    memory.put("e", Kept(25))
    assert [key for key in "abcde" if memory.peek(key)] == ["a", "c", "d", "e"]
    assert memory.evicted == 1
    assert repr(memory) == "<AnswerMemory 4 answers, 100/100 bytes, 1 evicted>"


def test_a_route_with_a_share_pushes_out_its_own_alone():
    memory = AnswerMemory(1000)
    memory.put("other", Kept(100, ("route:b",)))
    for key in "abc":
        memory.put(key, Kept(40, share=100))
        memory.get("a")
    assert [key for key in ("a", "b", "c", "other") if memory.peek(key)] == ["a", "c", "other"]
    assert not memory.put("large", Kept(101, share=100))


def test_what_is_too_large_replaces_nothing_else():
    memory = AnswerMemory(100)
    memory.put("a", Kept(25))
    assert not memory.put("b", Kept(26))
    assert memory.peek("a") is not None


def test_purges_are_counted_by_scope():
    memory = AnswerMemory(100)
    memory.put("a", Kept(10, ("route:a", "uri:x")))
    before = memory.purges(("route:a", "upstream:u"))
    assert memory.purge("uri:x", scope="upstream:u") == 1
    assert memory.purges(("route:a", "upstream:u")) == before + 1
    assert memory.purge("uri:x", scope="upstream:other") == 0
    assert memory.purges(("route:a", "upstream:u")) == before + 1


keys = st.integers(0, 12)
routes = st.sampled_from("abc")


class Memory(RuleBasedStateMachine):
    """The memory against a plain list of (key, answer), least recently used first."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = AnswerMemory(LIMIT)
        self.model: list[tuple[int, Kept]] = []

    def used(self, route=None):
        return sum(kept.size for _, kept in self.model if route is None or kept.tags[0] == route)

    def without(self, key):
        self.model = [item for item in self.model if item[0] != key]

    @rule(key=keys, size=st.integers(1, 300), route=routes, tag=routes)
    def put(self, key, size, route, tag):
        kept = Kept(size, (f"route:{route}", f"tag:{tag}"), 400 if route == "a" else None)
        self.without(key)
        if size <= LIMIT // 4:
            while kept.share is not None and self.used(kept.tags[0]) + size > kept.share:
                self.model.remove(next(item for item in self.model if item[1].tags[0] == kept.tags[0]))
            while self.used() + size > LIMIT:
                self.model.pop(0)
            self.model.append((key, kept))
        assert self.memory.put(key, kept) == (size <= LIMIT // 4)

    @rule(key=keys)
    def get(self, key):
        expected = dict(self.model).get(key)
        assert self.memory.get(key) is expected
        if expected is not None:
            self.without(key)
            self.model.append((key, expected))

    @rule(key=keys)
    def drop(self, key):
        assert self.memory.drop(key) == any(item[0] == key for item in self.model)
        self.without(key)

    @rule(tag=st.sampled_from([f"{kind}:{name}" for kind in ("route", "tag") for name in "abc"]))
    def purge(self, tag):
        gone = [key for key, kept in self.model if tag in kept.tags]
        assert self.memory.purge(tag) == len(gone)
        for key in gone:
            self.without(key)

    @invariant()
    def holds_the_same_and_no_more_than_it_may(self):
        assert self.memory.bytes == self.used() <= LIMIT
        assert len(self.memory) == len(self.model)
        assert all(self.memory.peek(key) is kept for key, kept in self.model)
        assert self.used("route:a") <= 400


TestMemory = Memory.TestCase
TestMemory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
