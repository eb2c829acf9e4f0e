"""`gateway demo`: everybody on stage, the tour, and a report."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway.demo.client import Caller, DifferenceError
from gateway.demo.screen import Screen
from gateway.demo.stage import PLATFORM_KEY, Addresses, Stage, StageError
from gateway.demo.steps import Step, tour


def run(config: Path, *, once: bool = False) -> int:
    """Give the tour. Exit status 0 where every step went as told; without `once`, stays until Ctrl-C."""
    screen = Screen()
    _on_signals(_leave)
    began = time.monotonic()
    stage = Stage(config)
    try:
        with screen.console.status("starting the platform, two providers and the gateway between them …"):
            stage.start()
        screen.plain(
            f"platform, two providers and the gateway between them: up after {time.monotonic() - began:.1f} s"
        )
        differences = give(tour(), stage.at, screen)
        stage.check()
        report(differences, time.monotonic() - began, screen)
        if differences:
            screen.plain(f"The gateway said last:\n{stage.last_words('gateway')}", "dim")
        invite(stage.at, screen, once=once)
        while not once:
            time.sleep(1)
            stage.check()
    except StageError as error:
        screen.bad(str(error))
        return 1
    except KeyboardInterrupt:
        return 130 if once else 0
    finally:
        _on_signals(signal.SIG_IGN)  # impatience now would leave somebody behind
        stage.stop()
    return 1 if differences else 0


def give(steps: Sequence[Step], at: Addresses, screen: Screen) -> list[str]:
    """All steps; what went otherwise than told, each under its step's title."""
    caller = Caller(at, screen)
    differences = []
    try:
        for number, step in enumerate(steps, 1):
            screen.title(number, len(steps), step.title, step.explanation)
            try:
                step.run(caller)
            except Exception as error:  # noqa: BLE001 - a broken step is a finding like a wrong answer
                told = (
                    str(error) if isinstance(error, DifferenceError) else f"{type(error).__name__}: {error}"
                )
                differences.append(f"{number}. {step.title}: {told}")
                screen.bad(told)
    finally:
        caller.close()
    return differences


def report(differences: Sequence[str], seconds: float, screen: Screen) -> None:
    """How it went."""
    screen.plain("")
    if not differences:
        screen.plain(f"Every step went as told, in {seconds:.1f} s.", "bold green")
        return
    screen.plain(
        f"{len(differences)} step{'s' * (len(differences) > 1)} went otherwise than told:", "bold red"
    )
    for difference in differences:
        screen.bad(difference)


def invite(at: Addresses, screen: Screen, *, once: bool) -> None:
    """What to try by hand."""
    screen.plain("")
    screen.plain(
        "By hand, while it runs (Ctrl-C ends everything):" if not once else "By hand, after `make demo`:",
        "bold",
    )
    screen.plain(
        f"  curl -i -H 'x-api-key: {PLATFORM_KEY}' {at.gateway}/aurora/games\n"
        f"  curl -i -H 'x-api-key: {PLATFORM_KEY}' '{at.gateway}/borealis/game?id=1'\n"
        f"  curl {at.admin}/metrics\n"
        f"  curl -d '{{\"latency_ms\": 4000}}' {at.aurora}/_sandbox/faults   # -X DELETE clears it\n"
        f'  curl -d \'{{"kind": "bet", "amount": 500}}\' {at.aurora}/_sandbox/callback\n'
        f"  .venv/bin/gateway traces --slow --admin {at.admin}"
    )


def _on_signals(action: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, action)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
