"""The proxies of `bench/recipes/`, each a Python program of its own."""

from __future__ import annotations

import sys

from bench.contenders.contender import KEY, NETWORKS, Setting
from bench.processes import PROXY_CORE, SOURCES, Process, start


def serve(recipe: str, setting: Setting, *, guarded: bool = True) -> Process:
    """Run `bench.recipes.RECIPE` with this Python; `guarded`: with all policies."""
    command = [sys.executable, "-m", f"bench.recipes.{recipe}"]
    command += ["--port", str(setting.port), "--origin", str(setting.origin.port)]
    if guarded:
        command += ["--key", KEY, "--networks", *NETWORKS]
        if setting.tracing:
            command += ["--traces", f"http://127.0.0.1:{setting.sink.http_port}/v1/traces"]
    return start(command, core=PROXY_CORE, directory=setting.directory, env=SOURCES, ready=setting.port)
