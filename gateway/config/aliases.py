"""Aliases (`*name`), which are errors: where each stands, and what it stands for, so that it costs one error.

A parser hands out the very node that an alias names. So an alias is a node that was met before, and its
place is found by what it stands behind.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

_ROOM = 10_000
"""Nodes that all aliases together may stand for: aliases of aliases of aliases are without number."""


class Alias(NamedTuple):
    """One alias: its name, and where it stands in the text."""

    name: str
    start: int
    line: int
    column: int


class _Read(NamedTuple):
    value: Any
    size: int
    """How many nodes it holds, those its own aliases stand for included."""
    height: int
    """How deeply they are nested."""


class Aliases:
    """Those of a text whose nodes are read from its beginning to its end, each between `begin` and `end`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[Alias] | None = None
        self._met: set[int] = set()
        self._read: dict[int, _Read] = {}
        self._named: set[int] = set()
        self._room = _ROOM
        self._size = self._deepest = 0

    def met(self, node: Node) -> bool:
        """Is this node an alias's, because it stands elsewhere already?"""
        return id(node) in self._met

    def behind(self, index: int) -> Alias:
        """The first alias at or behind a place in the text."""
        if self._found is None:
            self._found = [
                Alias(
                    str(event.anchor), event.start_mark.index, event.start_mark.line, event.start_mark.column
                )
                for event in yaml.parse(self._text, Loader=yaml.SafeLoader)
                if isinstance(event, yaml.AliasEvent) and event.start_mark is not None
            ]
        return self._found[bisect_left(self._found, index, key=lambda alias: alias.start)]

    def skip(self, node: Node, index: int) -> int:
        """A place in the text behind a node that follows `index`, and not behind what follows the node."""
        return self.behind(index).start + 1 if self.met(node) else node.end_mark.index

    def begin(self, node: Node, depth: int) -> tuple[int, int]:
        """A node is about to be read; what this returns is for `end`."""
        self._met.add(id(node))
        before = self._size, self._deepest
        self._size, self._deepest = self._size + 1, depth
        return before

    def end(self, node: Node, depth: int, before: tuple[int, int], value: Any) -> None:
        """A node was read: aliases may stand for its value from now on."""
        size, deepest = before
        self._read[id(node)] = _Read(value, self._size - size, self._deepest - depth)
        self._deepest = max(deepest, self._deepest)

    def follow(self, node: Node, depth: int, deepest: int) -> tuple[bool, Any]:
        """Whether an alias can be followed, and the value it stands for.

        It cannot where it stands within what it names, or where too much would come of it. `depth` is how
        deeply it is nested, and `deepest` how deeply anything may be.
        """
        self._named.add(id(node))
        read = self._read.get(id(node))
        if read is None or read.size > self._room or depth + read.height > deepest:
            return False, None
        self._room -= read.size
        self._size += read.size
        self._deepest = max(self._deepest, depth + read.height)
        return True, read.value

    def only(self, node: Node) -> bool:
        """Is there nothing in a node but what aliases name?"""
        inner: list[Node] = []
        if isinstance(node, SequenceNode):
            inner = node.value
        elif isinstance(node, MappingNode):
            inner = [item for _, item in node.value]
        return id(node) in self._named or (bool(inner) and all(id(item) in self._named for item in inner))
