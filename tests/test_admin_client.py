"""Commands that ask a running gateway, against an admin port that says what a test wants."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gateway.admin_client import AdminError, ask, show_status, show_traces, tell_purge, tell_reload

STATUS: dict[str, Any] = {
    "ready": True,
    "draining": False,
    "generation": 3,
    "config": "routes.yaml",
    "uptime_seconds": 12.5,
    "workers": [
        {"pid": 7, "generation": 3, "connections": 2, "in_flight": 1, "upstreams": {
            "aurora": [
                {"target": "http://a:1", "healthy": True, "calls": 1,
                 "connections": {"active": 1, "idle": 3, "waiting": 0}},
                {"target": "http://b:1", "healthy": True, "calls": 0,
                 "connections": {"active": 0, "idle": 0, "waiting": 0}},
            ]
        }},
        {"pid": 9, "generation": 3, "connections": 12, "in_flight": 0, "upstreams": {
            "aurora": [
                {"target": "http://a:1", "healthy": False, "calls": 2,
                 "connections": {"active": 2, "idle": 1, "waiting": 1}},
                {"target": "http://b:1", "healthy": True, "calls": 0,
                 "connections": {"active": 0, "idle": 0, "waiting": 0}},
            ]
        }},
        {"pid": 8, "error": "gone"},
    ],
    "last_reload_error": "",
}  # fmt: skip


class Port:
    """Answers every request with `status` and `answer`, and remembers it."""

    def __init__(self) -> None:
        self.status, self.answer = 200, "{}"
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        port = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                port.asked.append((self.command, self.path, headers, body))
                self.send_response(port.status)
                self.end_headers()
                self.wfile.write(port.answer.encode())

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, answer: Any, status: int = 200) -> None:
        self.status, self.answer = status, json.dumps(answer)


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    thread = threading.Thread(target=port.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield port
    port.server.shutdown()
    port.server.server_close()
    thread.join()


def args(port: Port, **more: Any) -> argparse.Namespace:
    defaults = {"admin": port.url, "json": False, "id": None, "errors": False, "slow": False, "route": None}
    return argparse.Namespace(**(defaults | {"limit": 20, "tag": None} | more))


def test_questions_are_gets_and_orders_are_json_posts(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # not for this machine's own port
    monkeypatch.delenv("GATEWAY_ADMIN_TOKEN", raising=False)
    assert ask(port.url + "/", "/api/status") == {}
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "secret")
    ask(port.url, "/api/reload", {"a": 1})
    (get, path, plain, _), (post, _, headers, body) = port.asked
    assert (get, path, "authorization" in plain) == ("GET", "/api/status", False)
    assert (post, headers["content-type"], body) == ("POST", "application/json", '{"a": 1}')
    assert headers["authorization"] == "Bearer secret"


def test_no_gateway_and_refusals_are_told(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AdminError, match=r"no gateway answers on http://127.0.0.1:1 .*start one with"):
        ask("http://127.0.0.1:1", "/api/status")
    port.says({"detail": "a bearer token is needed"}, 401)
    with pytest.raises(AdminError, match=r"answers 401: .*a bearer token is needed"):
        ask(port.url, "/api/status")
    with pytest.raises(SystemExit) as left:
        show_status(args(port))
    assert left.value.code == 2
    assert "a bearer token is needed" in capsys.readouterr().err
    port.status, port.answer = 200, "<html>"
    with pytest.raises(AdminError, match="no gateway answers"):
        ask(port.url, "/api/status")


def test_status_is_told_in_lines_or_as_json(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    port.says(STATUS)
    assert show_status(args(port)) == 0
    told = capsys.readouterr().out
    assert "ready: generation 3 of routes.yaml, up 12s" in told
    assert (
        told.partition("\n")[2]
        == """
process  generation  connections  calls
7        3           2            1
9        3           12           0
8        -           -            -      does not answer: gone

upstream  target      healthy  calls  active  idle  waiting
aurora    http://a:1  1 of 2   3      3       4     1
aurora    http://b:1  yes      0      0       0     0
"""
    )
    assert show_status(args(port, json=True)) == 0
    assert json.loads(capsys.readouterr().out) == STATUS
    port.says(STATUS | {"workers": STATUS["workers"][2:]})
    assert show_status(args(port)) == 0
    assert "upstream" not in capsys.readouterr().out


@pytest.mark.parametrize(("draining", "word"), [(True, "draining"), (False, "not ready")])
def test_a_gateway_that_is_not_ready_has_its_own_exit_status(
    port: Port, capsys: pytest.CaptureFixture[str], draining: bool, word: str
) -> None:
    port.says(STATUS | {"ready": False, "draining": draining, "last_reload_error": "routes.yaml:1:1"})
    assert show_status(args(port)) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"{word}: ")
    assert "the last reload was refused:\nroutes.yaml:1:1" in told
    assert show_status(args(port, json=True)) == 1


def test_a_reload_is_told_with_what_changed(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    port.says({"generation": 2, "changes": ["route games: added"], "error": ""})
    assert tell_reload(args(port)) == 0
    assert capsys.readouterr().out == "generation 2 serves\n  route games: added\n"
    port.says({"generation": 2, "changes": [], "error": ""})
    assert tell_reload(args(port)) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert tell_reload(args(port, json=True)) == 0
    assert json.loads(capsys.readouterr().out)["generation"] == 2
    port.says({"generation": 2, "changes": [], "error": "routes.yaml:3:1: error"}, 422)
    assert tell_reload(args(port)) == 1
    assert "refused, generation 2 serves on:\nroutes.yaml:3:1: error" in capsys.readouterr().err
    assert port.asked[0][:2] == ("POST", "/api/reload")


def test_a_purge_is_told_with_its_count(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    port.says({"purged": 4})
    assert tell_purge(args(port, route="games")) == 0
    assert tell_purge(args(port, tag="lobby", json=True)) == 0
    assert capsys.readouterr().out == '4 cached answers forgotten\n{"purged": 4}\n'
    assert [asked[3] for asked in port.asked] == ['{"route": "games"}', '{"tag": "lobby"}']


def test_a_name_no_cache_has_is_an_error(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    port.says({"purged": 0, "error": "no cache bears the tag 'x'; there are none"}, 404)
    assert tell_purge(args(port, tag="x")) == 1
    assert capsys.readouterr() == ("", "no cache bears the tag 'x'; there are none\n")
    assert tell_purge(args(port, tag="x", json=True)) == 1
    assert json.loads(capsys.readouterr().out)["purged"] == 0


def test_traces_are_asked_for_by_filter_and_by_id(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    port.says([])
    assert show_traces(args(port, errors=True, slow=True, route="a b", limit=3)) == 1
    assert port.asked[-1][1] == "/api/traces?limit=3&errors=1&slow=1&route=a+b"
    assert "no traces yet" in capsys.readouterr().err
    assert show_traces(args(port, json=True)) == 1
    assert capsys.readouterr().out == "[]\n"
    port.says({"error": "none"}, 404)
    assert show_traces(args(port, id="ab/../c")) == 1
    assert port.asked[-1][1] == "/api/traces/ab%2F..%2Fc"
    assert "no trace begins with ab/../c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "answer"),
    [(404, {"code": "ROUTE_NOT_FOUND", "status": 404}), (200, {"games": []}), (422, "no"), (200, 7)],
)
@pytest.mark.parametrize("command", [show_status, show_traces, tell_purge, tell_reload])
def test_another_server_is_told_from_an_admin_port(
    command: Any, status: int, answer: Any, port: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    port.says(answer, status)
    for id_ in (None, "ab"):
        with pytest.raises(SystemExit) as left:
            command(args(port, route="games", id=id_))
        assert left.value.code == 2
    assert f"{port.url} is no gateway's admin port; say --admin" in capsys.readouterr().err


@pytest.mark.parametrize("admin", ["foo", "localhost:8081", "ftp://x", "", "http://"])
def test_an_address_that_is_none_is_told(admin: str) -> None:
    with pytest.raises(AdminError, match="is not an address: say http://HOST:PORT"):
        ask(admin, "/api/status")


def test_plain_words_of_another_server_are_no_traceback(port: Port) -> None:
    port.status, port.answer = 404, "<html>not found"
    with pytest.raises(AdminError, match="is no gateway's admin port"):
        ask(port.url, "/api/status", answered_by=lambda told: told is not None)
