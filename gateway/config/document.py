"""One YAML file: its values, and where in the file each of them stands.

Stricter than YAML: no duplicate keys, no aliases, no tags, only text as keys. `{env: NAME}` and
`{file: PATH}` become their values here, after parsing: whatever a variable holds stays plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.config.aliases import Aliases
from gateway.config.findings import Finding, Place
from gateway.config.scalars import Scalar, read_plain
from gateway.config.yaml_nodes import DEFAULT_TAGS, STRING, compose, explain
from gateway.files import read_file, why

Location = tuple[str | int, ...]
"""Keys and indices from the top of a file to a value, as pydantic tells them."""

_COMPOSED_DEPTH = 100
"""Deepest nesting handed to the composer, which recurses: libyaml's would overflow the C stack."""
_BRACKETS = re.compile(r"[\[\]{}]")
_DEEP_INDENT = re.compile(rf"^[ ?:-]{{{_COMPOSED_DEPTH}}}", re.MULTILINE)
_DEPTH = 50
"""Deepest nesting read: three times what any setting needs."""


class Document:
    """A file that was read: its content in plain types, and what is wrong with it as YAML."""

    def __init__(self, name: str, data: bytes, environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        """The file as the user knows it; findings start with it."""
        self.value: Any = None
        """Mappings as dict, lists as list; scalars as YAML 1.2 reads them."""
        self.findings: list[Finding] = []
        self.text = ""
        self.files: list[Path] = []
        """What `{file: …}` read."""
        self._environ, self._folder = environ, folder
        self._references: dict[int, str] = {}
        """id of a node → what it stands for, `$NAME` or a path; `""` where it could not be resolved."""
        self._aliases: Aliases | None = None
        self._root: Node | None = None
        try:
            self.text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start]
            place = Place(name, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
            self.findings.append(Finding.at(place, "the file is not UTF-8", "save it as UTF-8"))
            return
        too_deep = self._too_deep()
        if too_deep is not None:
            self.findings.append(too_deep)
            return
        root = self._compose()
        if root is not None:
            self._root = root
            self._aliases = self._follow_aliases(root)
            self.value = self._convert(root)

    @property
    def readable(self) -> bool:
        """False where the file is no YAML at all, so that nothing can be said about its content."""
        return self._root is not None or not self.findings

    def place(self, location: Sequence[str | int] = (), *, key: bool = False) -> Place:
        """Where a value (with `key`, its key) stands; segments the file does not have are passed over."""
        if self._root is None:
            return Place(self.name, 1, 1)
        node, name, _ = self._walk(location)
        return self._mark(name if key and name is not None else node)

    def follow(self, location: Sequence[str | int]) -> Location:
        """The part of a location that the file has: without union labels and missing keys."""
        return self._walk(location)[2] if self._root is not None else ()

    def reference(self, location: Sequence[str | int]) -> str | None:
        """What a value came from: `$NAME` or a path, `""` where it is not to be had; else None."""
        if self._root is None:
            return None
        return self._references.get(id(self._walk(location)[0]))

    def is_source(self, location: Sequence[str | int]) -> bool:
        """Is there nothing at a location but what aliases stand for?"""
        return self._aliases is not None and self._aliases.only(self._walk(location)[0])

    def value_at(self, location: Sequence[str | int]) -> Any:
        """The value at a location that `follow` returned."""
        value = self.value
        for segment in location:
            value = value[segment]
        return value

    def _walk(self, location: Sequence[str | int]) -> tuple[Node, Node | None, Location]:
        assert self._root is not None
        node, name = self._root, None
        found: list[str | int] = []
        for segment in location:
            if isinstance(node, MappingNode) and id(node) not in self._references:
                text = str(segment)
                for key, value in node.value:
                    if isinstance(key, ScalarNode) and key.value == text:
                        node, name = value, key
                        found.append(text)
                        break
            elif isinstance(node, SequenceNode) and isinstance(segment, int) and segment < len(node.value):
                node = name = node.value[segment]
                found.append(segment)
        return node, name, tuple(found)

    def _mark(self, node: Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _say(self, node: Node, message: str, mend: str) -> None:
        self.findings.append(Finding.at(self._mark(node), message, mend))

    # Reading.

    def _compose(self) -> Node | None:
        try:
            return compose(self.text)
        except yaml.reader.ReaderError as error:
            before = self.text[: error.position] if isinstance(error.position, int) else ""
            place = Place(self.name, before.count("\n") + 1, len(before) - before.rfind("\n"))
            self.findings.append(
                Finding.at(place, "a control character stands here that YAML does not allow", "remove it")
            )
            return None
        except yaml.MarkedYAMLError as error:
            mark, context = error.problem_mark, error.context_mark
            begun = any(thing in str(error.context) for thing in ("quoted", "flow", "simple key"))
            if context is not None and begun and (mark is None or mark.line != context.line):
                mark = context  # what was begun there was never ended: a quote, a bracket, a key
            line, column = (0, 0) if mark is None else (mark.line, mark.column)
            lines = self.text.splitlines() or [""]
            if line >= len(lines):  # behind the end of the file: point at its last character
                line, column = len(lines) - 1, len(lines[-1])
            place = Place(self.name, line + 1, column + 1)
            self.findings.append(Finding.at(place, *explain(error, self.text, place)))
            return None

    def _too_deep(self) -> Finding | None:
        """Nesting that would overflow the composer's stack; brackets in quotes count too, but close again."""
        deep = _DEEP_INDENT.search(self.text)
        position = -1 if deep is None else deep.start()
        if self.text.count("[") + self.text.count("{") > _COMPOSED_DEPTH:
            depth = 0
            for bracket in _BRACKETS.finditer(self.text):
                depth += 1 if bracket[0] in "[{" else -1
                if depth > _COMPOSED_DEPTH:
                    position = bracket.start()
                    break
        if position < 0:
            return None
        place = Place(self.name, self.text.count("\n", 0, position) + 1, 1)
        return Finding.at(place, "lists or mappings are nested too deeply here", "flatten them")

    def _follow_aliases(self, root: Node) -> Aliases:
        """Aliases are errors. They are followed all the same: what they stand for is not missing as well."""
        aliases = Aliases(root, self.text, _DEPTH)
        mend = "write the value out: then every place in the file says what holds there"
        for alias in aliases.found:
            place = Place(self.name, alias.line + 1, alias.column + 1)
            self.findings.append(Finding.at(place, f"the alias *{alias.name} is not read", mend))
        self._references.update((id(node), "") for node in aliases.lost)
        return aliases

    def _convert(self, node: Node, depth: int = 0) -> Any:
        if isinstance(node, ScalarNode):
            if node.tag not in (STRING, "!"):
                self._say_tag(node)
            return node.value if node.style else read_plain(node.value)
        if depth > _DEPTH:
            self._say(node, "lists or mappings are nested too deeply here", "flatten them")
            return None
        if node.tag != DEFAULT_TAGS[type(node)]:
            self._say_tag(node)
        if isinstance(node, SequenceNode):
            return [self._convert(item, depth + 1) for item in node.value]
        assert isinstance(node, MappingNode)
        return self._convert_mapping(node, depth)

    def _convert_mapping(self, node: MappingNode, depth: int) -> Any:
        value: dict[str, Any] = {}
        first: dict[str, Node] = {}
        merged: list[Any] = []
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                self._say(key, "a key must be text", "write `key: value`")
                continue
            name = key.value
            if name == "<<" and not key.style:
                mend = "write the values out, or share a policy list"
                self._say(key, "merge keys (`<<`) are not read", mend)
                inner = self._convert(item, depth + 1)
                merged += inner if isinstance(inner, list) else [inner]
                continue
            if name in value:
                line = first[name].start_mark.line + 1
                self._say(key, f"the key {name!r} stands twice, first on line {line}", "remove one of them")
                continue
            first[name] = key
            value[name] = self._convert(item, depth + 1)
        for source in merged:  # said already; but what comes of them is not missing as well
            value = {**source, **value} if isinstance(source, dict) else value
        if value and ("env" in value and not value.keys() - {"env", "default"}):
            return self._variable(node, value)
        if "file" in value and len(value) == 1:
            return self._content(node, value["file"])
        if "file" in value and not value.keys() - {"env", "file", "default"}:
            return self._unresolved(
                node,
                "a value comes out of the environment or out of a file",
                "write {env: NAME, default: …} or {file: PATH}",
            )
        return value

    def _variable(self, node: MappingNode, value: dict[str, Any]) -> Scalar:
        name, default = value["env"], value.get("default")
        if not isinstance(name, str) or not name:
            return self._unresolved(
                node, "env takes the name of an environment variable", "write {env: NAME}"
            )
        if isinstance(default, (dict, list)):
            return self._unresolved(
                node, "a default is a single value", f"write {{env: {name}, default: value}}"
            )
        if name in self._environ:
            self._references[id(node)] = f"${name}"
            return self._environ[name]
        if "default" in value:
            return default  # stands in the file, so it is shown like any other value
        return self._unresolved(
            node,
            f"the environment variable {name} is not set",
            f"set it, or write {{env: {name}, default: …}}",
        )

    def _content(self, node: MappingNode, name: object) -> Scalar:
        if not isinstance(name, str) or not name:
            return self._unresolved(node, "file takes the path of a file", "write {file: PATH}")
        path = self._folder / name
        try:
            text = read_file(path).decode()
        except OSError as error:
            return self._unresolved(
                node,
                f"the file {name} cannot be read: {why(error)}",
                "paths are relative to the configuration file",
            )
        except ValueError:
            return self._unresolved(node, f"the file {name} is not UTF-8 text", "a value is text: encode it")
        self.files.append(path)
        self._references[id(node)] = name
        return text.removesuffix("\n").removesuffix("\r")

    def _unresolved(self, node: Node, message: str, mend: str) -> Scalar:
        self._references[id(node)] = ""
        self._say(node, message, mend)
        return ""

    def _say_tag(self, node: Node) -> None:
        self._say(node, f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not read", "remove it")
