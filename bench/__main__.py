"""The benchmarks' command line: `python -m bench [headline|ladder|latency|memory|report] …`.

Without a campaign all four run in turn. Exit status 1 says that answers were wrong or traces missing: then
the figures mean nothing. Ctrl-C ends everything that was started, and exits with 130.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.campaign import Plan
from bench.headline import headline
from bench.ladder import ladder
from bench.latency import latency
from bench.memory import memory
from bench.page import publish
from bench.processes import LOAD_CORE, StartError, pinned
from bench.report import failed, show
from bench.results import Result, load
from bench.subject import World, world

Campaign = Callable[[World, Plan, Console], Result]

CAMPAIGNS: dict[str, Campaign] = {
    "headline": headline,
    "ladder": ladder,
    "latency": latency,
    "memory": memory,
}
FILE_COLUMNS = 132
"""Width of what goes into a file or a pipe."""
ROOT = Path(__file__).parent.parent


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    found.add_argument("campaigns", nargs="*", metavar="campaign", help=f"{', '.join(CAMPAIGNS)}, report")
    found.add_argument("--quick", action="store_true", help="one round of 2 s: to try it, not to quote it")
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument(
        "--seconds", type=float, default=30.0, help="length of a headline round; others are shorter"
    )
    found.add_argument("--connections", type=int, default=64)
    found.add_argument("--only", default="", help="contenders, or rungs of the ladder: a,b")
    found.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    found.add_argument("--publish", action="store_true", help="write docs/benchmarks.md and its files anew")
    return found  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    asked = parser().parse_args(argv)
    unknown = set(asked.campaigns) - CAMPAIGNS.keys() - {"report"}
    if unknown:
        parser().error(f"no such campaign: {', '.join(sorted(unknown))}")
    if asked.rounds < 1 or asked.seconds <= 0 or asked.connections < 1:
        parser().error("rounds, seconds and connections are positive")
    plan = Plan(
        rounds=1 if asked.quick else asked.rounds,
        seconds=2.0 if asked.quick else asked.seconds,
        connections=asked.connections,
        only=frozenset(filter(None, asked.only.split(","))),
        quick=asked.quick,
    )
    before = signal.signal(signal.SIGTERM, _interrupted)
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_COLUMNS)
    chosen = [name for name in CAMPAIGNS if name in asked.campaigns] if asked.campaigns else list(CAMPAIGNS)
    try:
        results = run(chosen, plan, console, asked.out)
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has ended")
        return 130
    except StartError as error:
        console.print(f"cannot measure: {error}", style="bold red", markup=False, highlight=False)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)
    if "report" in asked.campaigns and not results:
        results = saved(asked.out)
    show(console, results)
    if asked.publish:
        try:
            publish(saved(asked.out), ROOT / "docs")
        except ValueError as error:
            console.print(str(error), style="bold red", markup=False, highlight=False)
            return 2
    return 1 if failed(results) else 0


def run(chosen: Sequence[str], plan: Plan, console: Console, out: Path) -> list[Result]:
    """The campaigns in turn, each saved as soon as it is through."""
    if not chosen:
        return []
    results = []
    with pinned(LOAD_CORE), world() as around:
        for name in chosen:
            results.append(CAMPAIGNS[name](around, plan, console))
            results[-1].save(out)
    return results


def saved(folder: Path) -> list[Result]:
    """What earlier runs left there, in the campaigns' order."""
    return [load(folder / f"{name}.json") for name in CAMPAIGNS if (folder / f"{name}.json").exists()]


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
