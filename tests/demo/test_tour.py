"""The tour as a newcomer sees it, and how it reports what went wrong."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from gateway.demo.client import Caller, DifferenceError
from gateway.demo.screen import Screen
from gateway.demo.stage import Addresses
from gateway.demo.steps import Step
from gateway.demo.tour import give, report

NOWHERE = Addresses(*["http://127.0.0.1:1"] * 5)
ROOT = Path(__file__).parents[2]


def test_steps_that_differ_are_reported_and_the_others_still_run() -> None:
    ran = []

    def well(_: Caller) -> None:
        ran.append("well")

    def differs(_: Caller) -> None:
        raise DifferenceError("200 was told, 404 came")

    def breaks(_: Caller) -> None:
        raise KeyError("games")

    out = io.StringIO()
    screen = Screen(Console(file=out))
    differences = give(
        [Step("One", "", differs), Step("Two", "", breaks), Step("Three", "", well)], NOWHERE, screen
    )
    assert differences == ["1. One: 200 was told, 404 came", "2. Two: KeyError: 'games'"]
    assert ran == ["well"]
    report(differences, 1.0, screen)
    assert "2 steps went otherwise than told:" in out.getvalue()


def test_the_whole_tour_goes_as_told_and_leaves_nobody_behind() -> None:
    command = [sys.executable, "-m", "gateway", "demo", "--once"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Every step went as told" in told.stdout
    assert told.stderr == ""
    for port in re.findall(r"http://127\.0\.0\.1:(\d+)", told.stdout):
        assert _closed(int(port))


def test_a_tour_that_stays_ends_everybody_when_it_is_told_to() -> None:
    command = [sys.executable, "-m", "gateway", "demo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = ""
        while "gateway traces --slow" not in told:
            line = process.stdout.readline()
            assert line, told
            told += line
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)", told)
    assert ports
    assert all(_closed(int(port)) for port in ports)


def _closed(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0
