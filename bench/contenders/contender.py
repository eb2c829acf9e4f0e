"""What a proxy under test is: how it is set up, and what is asked of all of them alike."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.origin import Origin
from bench.processes import Process, StartError
from bench.sink import Sink

KEY = "bench-key-5b1d0c7e94f24a63"
"""The API key in X-Api-Key that every contender accepts; any other, or none, is answered 401."""

NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")
"""Who may call; others get 403."""

RATE = 1_000_000
"""Calls a second that one consumer may make: counted for each, refused to none."""

TIMEOUT_SECONDS = 5
KEPT = 256
"""Connections to the origin that are kept open, at most."""


@dataclass(frozen=True)
class Setting:
    """Where a contender is started, in front of what, and how."""

    directory: Path
    """Its own, for configuration and logs."""
    port: int
    origin: Origin
    sink: Sink
    tracing: bool = True
    """False: it sends no spans, though it could."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only some know; each says which. An unknown one raises ValueError."""


class Contender(Protocol):
    """A proxy under test."""

    name: str
    title: str
    """For tables."""
    traces: bool
    """It sends spans to the sink."""
    guards: bool
    """It has policies: a call without the key is answered 401."""
    note: str
    """How its work differs from everybody else's; empty where it does not."""
    additions: tuple[str, ...]
    """Headers it adds to answers."""

    def start(self, setting: Setting) -> Process:
        """Start it on its core, ready to be called. StartError when it does not come up."""


def fill(template: str, **values: object) -> str:
    """The template with `@name@` replaced; KeyError for a name without a value."""
    return re.sub(r"@(\w+)@", lambda found: str(values[found[1]]), template)


def program(name: str) -> str:
    """Where a program is: beside this Python, else on the path. StartError where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = (
        str(beside)
        if beside.exists()
        else shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    )
    if found is None:
        raise StartError(f"{name} is not installed: `make bench-setup` says how to get it")
    return found


def known(options: Mapping[str, Any], *names: str) -> None:
    """ValueError for an option that is none of `names`."""
    if strange := options.keys() - set(names):
        raise ValueError(
            f"no such option here: {', '.join(sorted(strange))}; there are: {', '.join(names) or 'none'}"
        )
