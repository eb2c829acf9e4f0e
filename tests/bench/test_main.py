"""The command line: what it refuses, what a fault makes of it, and that Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.__main__ import CAMPAIGNS, main, saved
from tests.bench.test_results import RESULT

ROOT = Path(__file__).parents[2]
FOREVER = """
import contextlib, signal, sys, time
from pathlib import Path
import bench.__main__ as command
from bench.processes import LOAD_CORE, start

def forever(around, plan, console):
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with start(sleeper, core=LOAD_CORE, directory=Path(sys.argv[1]), ready=lambda: True) as process:
        print("pid", process.pid, flush=True)
        time.sleep(600)

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored behind an "&"
command.CAMPAIGNS["headline"] = forever
command.world = contextlib.nullcontext
sys.exit(command.main(["headline", "--out", sys.argv[1]]))
"""
"""The real command, with a campaign that starts a process and never ends."""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it pins to a second core")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_what_was_started(number: signal.Signals, tmp_path: Path):
    command = [sys.executable, "-c", FOREVER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        said, pid = bench.stdout.readline().split()
        assert (said, alive(int(pid))) == ("pid", True)
        time.sleep(0.1)
        bench.send_signal(number)
        try:
            assert bench.wait(20) == 130
        finally:
            bench.kill()
        assert not alive(int(pid))
        assert "interrupted" in bench.stdout.read()


@pytest.mark.parametrize(
    "argv", [["footrace"], ["headline", "--rounds", "0"], ["headline", "--seconds", "-1"]]
)
def test_nonsense_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_report_of_what_was_measured_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    RESULT.save(tmp_path)
    assert saved(tmp_path) == [RESULT]
    assert main(["report", "--out", str(tmp_path)]) == 1  # it tells of a fault
    assert "3 of 90 calls failed" in capsys.readouterr().out


def test_a_report_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_there_are_four_campaigns():
    assert list(CAMPAIGNS) == ["headline", "ladder", "latency", "memory"]
