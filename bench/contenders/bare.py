"""Two httptools protocols under uvloop and nothing else: the limit of Python."""

from __future__ import annotations

from bench.contenders.contender import Setting, known
from bench.contenders.recipe import serve
from bench.processes import Process


class Bare:
    """No options."""

    name = "bare"
    title = "bare httptools"
    traces = False
    guards = False
    note = "no policies, no traces, no log"
    additions: tuple[str, ...] = ()

    def start(self, setting: Setting) -> Process:
        known(setting.options)
        return serve("bare", setting, guarded=False)
