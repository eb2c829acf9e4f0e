from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest


@pytest.mark.parametrize("what", [["platform"], ["provider", "aurora"], ["provider", "borealis"]])
def test_a_sandbox_of_its_own_prints_its_port_and_stops_when_told(what: list[str]) -> None:
    command = [sys.executable, "-m", "gateway.sandbox", *what, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        name, _, url = process.stdout.readline().strip().removeprefix("sandbox ").partition(" on ")
        assert name == what[-1]
        path = "/ping" if name == "borealis" else "/health"
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get(path).status_code == 200  # and the connection stays open while it stops
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""
