"""Aliases (`*name`), which are errors: where each stands, and what it stands for, so that it costs one error.

A parser hands out the very node that an alias names, wherever it is named. Met in the order of the text, such
a node is an alias from the second time on, and the aliases that the text has come in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.config.yaml_nodes import STRING

_ROOM = 10_000
"""Nodes that all aliases together may stand for: aliases of aliases of aliases are without number."""


class Alias(NamedTuple):
    """One alias: its name, and where it stands in the text, counted from 0."""

    name: str
    line: int
    column: int


class Aliases:
    """Those of a tree. What one stands for is left in its place, unless too much would come of it.

    It is not where the alias stands within what it names, nor where the tree would get too large, or deeper
    than `deepest`: then an empty node takes its place, one of `lost`.
    """

    def __init__(self, root: Node, text: str, deepest: int) -> None:
        self.found: list[Alias] = []
        """In the order of the text; those in a merge key (`<<`), which is an error itself, are left out."""
        self.lost: list[Node] = []
        """The nodes that stand where nothing could be put."""
        self._named: set[int] = set()
        self._met: set[int] = set()
        self._read: dict[int, tuple[int, int]] = {}
        """id of a node that was read to its end → how many nodes it comes to, and how deep they nest."""
        self._room, self._deepest = _ROOM, deepest
        self._events = _events(text)
        if "&" in text:  # what an alias names has an anchor, `&name`
            self._walk(root, 0, merging=False)

    def only(self, node: Node) -> bool:
        """Is there nothing in a node but what aliases name?"""
        inner: list[Node] = []
        if isinstance(node, SequenceNode):
            inner = node.value
        elif isinstance(node, MappingNode):
            inner = [item for _, item in node.value]
        return id(node) in self._named or (bool(inner) and all(id(item) in self._named for item in inner))

    def _walk(self, node: Node, depth: int, *, merging: bool) -> tuple[int, int]:
        self._met.add(id(node))
        size, height = 1, 0
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                node.value[index], inner, tall = self._reach(item, depth + 1, merging=merging)
                size, height = size + inner, max(height, tall + 1)
        elif isinstance(node, MappingNode):
            for index, (key, item) in enumerate(node.value):
                merges = merging or (isinstance(key, ScalarNode) and key.value == "<<" and not key.style)
                name, wide, _ = self._reach(key, depth, merging=merging)
                value, inner, tall = self._reach(item, depth + 1, merging=merges)
                node.value[index] = name, value
                size, height = size + wide + inner, max(height, tall + 1)
        self._read[id(node)] = size, height
        return size, height

    def _reach(self, node: Node, depth: int, *, merging: bool) -> tuple[Node, int, int]:
        """What is to stand in a node's place, with its size and its height."""
        if id(node) not in self._met:
            return node, *self._walk(node, depth, merging=merging)
        event = next(self._events)
        mark: Any = event.start_mark  # libyaml has marks of its own
        if not merging:
            self.found.append(Alias(str(event.anchor), mark.line, mark.column))
        self._named.add(id(node))
        size, height = self._read.get(id(node), (_ROOM + 1, 0))
        if size <= self._room and depth + height <= self._deepest:
            self._room -= size
            return node, size, height
        empty = ScalarNode(STRING, "", mark, mark)
        self.lost.append(empty)
        self._named.add(id(empty))
        return empty, 1, 0


def _events(text: str) -> Iterator[yaml.AliasEvent]:
    return (event for event in yaml.parse(text, Loader=yaml.SafeLoader) if isinstance(event, yaml.AliasEvent))
