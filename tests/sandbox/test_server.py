"""Every fault over a real socket, and a server that starts and stops cleanly."""

from __future__ import annotations

import socket
import time
from typing import Any

import httpx
import pytest

from gateway.sandbox import serve_platform
from tests.sandbox.running import Running

REQUEST = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def order(running: Running, **fault: Any) -> httpx.Response:
    return httpx.post(f"{running.url}/_sandbox/faults", json=fault)


def dial(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=5)


def read_all(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def test_faults_are_ordered_read_and_cleared(aurora: Running) -> None:
    where = f"{aurora.url}/_sandbox/faults"
    assert httpx.get(where).json() == {"fault": None, "struck": 0}
    assert order(aurora, status=503).json()["fault"]["status"] == 503
    assert httpx.get(f"{aurora.url}/health").status_code == 503
    assert httpx.get(where).json()["struck"] == 1
    httpx.delete(where)
    assert httpx.get(f"{aurora.url}/health").status_code == 200
    assert order(aurora, explode=True).status_code == 422
    assert httpx.post(where, content=b"{").status_code == 422


def test_a_status_comes_in_the_providers_own_shape(aurora: Running, borealis: Running) -> None:
    order(aurora, status=500)
    order(borealis, status=500)
    assert httpx.get(f"{aurora.url}/health").json()["error"]["code"] == "OUT_OF_ORDER"
    assert httpx.get(f"{borealis.url}/ping").text == "<h1>500 from the balancer</h1>"


def test_latency_delays_the_answer(aurora: Running) -> None:
    order(aurora, latency_ms=120)
    began = time.monotonic()
    assert httpx.get(f"{aurora.url}/health").status_code == 200
    assert time.monotonic() - began >= 0.12


def test_a_caller_that_does_not_wait_for_a_late_fault_harms_nobody(aurora: Running) -> None:
    for fault in ({"reset": True}, {"bad_body": True}):
        order(aurora, latency_ms=50, **fault)
        with dial(aurora) as connection:
            connection.sendall(REQUEST)
        while httpx.get(f"{aurora.url}/_sandbox/faults").json()["struck"] < 1:
            pass
    httpx.delete(f"{aurora.url}/_sandbox/faults")
    assert httpx.get(f"{aurora.url}/health").status_code == 200


def test_reset_closes_the_connection_with_rst(aurora: Running) -> None:
    order(aurora, reset=True)
    with dial(aurora) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_short_body_ends_before_its_length(aurora: Running) -> None:
    order(aurora, bad_body=True)
    with dial(aurora) as connection:
        connection.sendall(REQUEST)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b"content-length: 4096" in head
    assert 0 < len(body) < 4096


def test_garbage_is_no_http(aurora: Running) -> None:
    order(aurora, bad_body="garbage")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{aurora.url}/health")


def test_an_outage_hangs_up_on_everybody_but_can_be_ended(aurora: Running) -> None:
    with dial(aurora) as idle, httpx.Client(base_url=aurora.url, trust_env=False) as control:
        idle.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"}"):
            answer += idle.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        control.post("/_sandbox/faults", json={"outage": True})
        with pytest.raises(ConnectionResetError):
            idle.recv(1)
        for _ in range(3):
            with dial(aurora) as connection:
                connection.sendall(REQUEST)
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
        control.delete("/_sandbox/faults")
        assert control.get("/health").status_code == 200


def test_calls_are_counted_with_their_headers_even_those_that_suffered(aurora: Running) -> None:
    order(aurora, status=500)
    httpx.get(f"{aurora.url}/health?x=1", headers={"x-mark": "7"})
    told = httpx.get(f"{aurora.url}/_sandbox/calls").json()
    assert (told["total"], told["by_path"]) == (1, {"GET /health": 1})
    assert told["last"][0]["target"] == "/health?x=1"
    assert ["x-mark", "7"] in told["last"][0]["headers"]
    assert httpx.delete(f"{aurora.url}/_sandbox/calls").json()["total"] == 0


def test_answers_do_not_wait_for_acknowledgements(aurora: Running) -> None:
    with dial(aurora) as connection:
        connection.sendall(REQUEST)
        connection.recv(65536)
        (accepted,) = aurora.server.server_state.connections
        of_server = accepted.transport.get_extra_info("socket")
        assert of_server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve_platform(port) == 2
        told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Is another sandbox running? Say --port 0 for a free port, or another one\n"
    )
