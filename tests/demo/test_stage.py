"""Processes that start together and end together."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.demo.stage import Stage, StageError, pick_ports


def test_the_usual_ports_are_taken_where_they_are_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = pick_ports({"a": port, "b": taken.getsockname()[1]})
        assert ports["a"] == port
        assert ports["b"] not in {port, taken.getsockname()[1]}


def test_a_gateway_that_does_not_start_is_quoted_and_nobody_is_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "missing.yaml")
    with pytest.raises(StageError, match=r"gateway ended with status 1:[\s\S]*missing.yaml"), stage:
        pass
    for port in stage.ports.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
