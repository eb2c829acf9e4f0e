"""YAML text to nodes with marks, and what the parser has against it in plain words."""

from __future__ import annotations

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.config.findings import Place

STRING = "tag:yaml.org,2002:str"
DEFAULT_TAGS: dict[type[Node], str] = {
    ScalarNode: STRING,
    SequenceNode: "tag:yaml.org,2002:seq",
    MappingNode: "tag:yaml.org,2002:map",
}
"""The tags of nodes that say none themselves."""


class _AsText:
    """Resolves no scalar: every plain one stays the text it is, for `read_plain` to read."""

    def resolve(self, kind: type[Node], _value: object, _implicit: object) -> str:
        return DEFAULT_TAGS[kind]

    def descend_resolver(self, _parent: Node | None, _index: object) -> None: ...

    def ascend_resolver(self) -> None: ...

    def check_resolver_prefix(self, *_: object) -> bool:
        return False


try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]

    class _Loader(_AsText, _Parser):
        """libyaml's composer, ten times as fast."""

except ImportError:  # PyYAML was built without libyaml
    from yaml.composer import Composer
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Loader(_AsText, Reader, Scanner, Parser, Composer):  # type: ignore[no-redef]
        """PyYAML's own composer."""

        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)
            Composer.__init__(self)


def compose(text: str) -> Node | None:
    """The text's one document; None for an empty one. Raises `yaml.YAMLError`."""
    loader = _Loader(text)
    try:
        root: Node | None = loader.get_single_node()
    finally:
        if hasattr(loader, "dispose"):
            loader.dispose()
    return root


def explain(error: yaml.MarkedYAMLError, text: str, place: Place) -> tuple[str, str]:
    """PyYAML's and libyaml's complaints in plain words: (message, how to mend it)."""
    problem = str(error.problem or "")
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    indented_by_tab = "\t" in line[: place.column] and not line[: place.column - 1].strip()
    if indented_by_tab or "'\\t'" in problem:
        return "a tab stands where YAML wants spaces", "indent with spaces"
    if "mapping values are not allowed" in problem:
        return (
            "a `: ` stands where no key can be",
            "quote the text that holds it, or check the indentation of this line and the one above",
        )
    if "found character" in problem:
        character = line[place.column - 1 : place.column]
        return f"text cannot start with {character!r} here", "quote it"
    if "escape" in problem:
        return "a backslash in double quotes begins an escape, and this is none", "use single quotes"
    if "undefined alias" in problem:
        return "text that starts with `*` is read as an alias", "quote it"
    if "expected a single document" in str(error.context or "") or "another document" in problem:
        return "a second document starts here", "remove the `---`: a file holds one document"
    if "end of stream" in problem or "while scanning a quoted scalar" in str(error.context or ""):
        return "a quoted text is not closed", "close the quote"
    if "flow" in str(error.context or "") or "',' or" in problem:
        return (
            "a `{` or `[` is not closed, or a comma is missing",
            "close it, or put a comma between its entries",
        )
    if "could not find expected ':'" in problem:
        return "a key has no `:`", "write `key: value`"
    return (
        "this line does not fit the lines above it",
        "check its indentation: entries of one list or mapping start in the same column",
    )
