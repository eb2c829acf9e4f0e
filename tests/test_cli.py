"""Every command as it is typed: exit status, what goes where, JSON for programs, help for people."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

import gateway
from gateway.cli import main
from tests.config.cases import ENVIRON, FULL, unpack
from tests.docs.generate import commands
from tests.sandbox.running import AURORA, provider
from tests.scenarios.running import gateway as running_gateway


class Said(NamedTuple):
    status: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Type a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("GATEWAY_CONFIG", "GATEWAY_ADMIN", "GATEWAY_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)

    def typed(*words: str) -> Said:
        with pytest.raises(SystemExit) as left:
            main(list(words))
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return typed


@pytest.mark.parametrize("name", commands())
def test_every_command_helps(type_: Type, name: str) -> None:
    said = type_(*name.split(), "--help")
    assert (said.status, said.err) == (0, "")
    _, parser = commands()[name]
    for action in parser._actions:
        assert action.help, f"{name} {action.dest} says nothing of itself"
        assert all(option in said.out for option in action.option_strings)


def test_the_whole_helps_too(type_: Type) -> None:
    said = type_("--help")
    assert said.status == 0
    assert {name.split()[0] for name in commands()} <= set(said.out.split())
    assert type_("--version").out == f"gateway {gateway.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("sing",),
        ("check", "--loud"),
        ("serve", "--port", "many"),
        ("explain", "GET"),
        ("diff", "one.yaml"),
        ("purge",),
        ("purge", "--route", "a", "--tag", "b"),
        ("sandbox",),
        ("sandbox", "provider", "zodiac"),
        ("traces", "--limit", "few"),
        ("traces", "--limit", "0"),
        ("serve", "--port", "99999"),
        ("serve", "--admin-port", "-1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_usage(type_: Type, words: tuple[str, ...]) -> None:
    said = type_(*words)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("usage: gateway")


def test_check_of_the_repositorys_own_file(type_: Type) -> None:
    path = str(Path(__file__).parents[1] / "routes.yaml")
    status, out, err = type_("check", "--strict", "--config", path)
    assert (status, err) == (0, "")
    note, *_, last = out.splitlines()
    assert ": note: callers reach all " in note
    assert out.count(": note: ") == 1
    assert last == f"{path}: good"
    (told,) = json.loads(type_("check", "--json", "-c", path).out)
    assert told["severity"] == "note"
    assert len(told["routes"]) > 10


def test_check_of_a_file_with_warnings(type_: Type, tmp_path: Path) -> None:
    unpack(FULL, tmp_path)
    said = type_("check")
    assert (said.status, said.err) == (0, "")
    assert "warning" in said.out
    assert said.out.splitlines()[-1].startswith("routes.yaml: good, ")
    assert type_("check", "--strict").status == 1


def test_check_of_a_broken_file(type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "routes.yaml").write_text("version: 1\nroute: []\nserver: {drain: {delay: 5}}\n")
    said = type_("check")
    assert (said.status, said.err) == (1, "")
    assert "routes.yaml:2:1" in said.out
    assert "did you mean 'routes'?" in said.out
    assert "routes.yaml:3:25" in said.out
    findings = json.loads(type_("check", "--json").out)
    assert [finding["severity"] for finding in findings] == ["error", "error"]
    monkeypatch.setenv("GATEWAY_CONFIG", "nowhere.yaml")
    assert "nowhere.yaml" in type_("check").out
    assert type_("check", "--config", "elsewhere.yaml").status == 1


@pytest.mark.parametrize(
    "words", [("explain", "GET", "/"), ("diff", "routes.yaml", "routes.yaml"), ("serve", "--port", "0")]
)
def test_a_broken_file_ends_what_needs_it(type_: Type, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "routes.yaml").write_text("version: 2\n")
    said = type_(*words)
    assert (said.status, said.out) == (1, "")
    assert "routes.yaml:1:10" in said.err


def test_serve_refuses_addresses_it_should_not_take(type_: Type, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("version: 1\n")
    assert type_("serve", "--workers", "0").status == 2
    said = type_("serve", "--admin-host", "0.0.0.0")
    assert said.status == 2
    assert "server.admin.token" in said.err


def test_diff(type_: Type, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    old, new = (
        unpack(FULL, tmp_path),
        unpack(FULL.replace("50/second, by", "60/second, by"), tmp_path / "new"),
    )
    same = type_("diff", str(old), str(old), "--exit-code")
    assert same == (0, "nothing changes\n", "")
    assert type_("diff", str(old), str(old), "--json").out == "[]\n"
    changed = type_("diff", str(old), str(new))
    assert changed.status == 0
    assert "aurora-games" in changed.out
    assert "60/second" in changed.out
    assert type_("diff", str(old), str(new), "--exit-code").status == 1
    told = json.loads(type_("diff", str(old), str(new), "--json", "--exit-code").out)
    assert told == changed.out.splitlines()


def test_schema(type_: Type) -> None:
    whole, lists = type_("schema"), type_("schema", "--policies")
    assert (whole.status, lists.status) == (0, 0)
    assert "routes" in json.loads(whole.out)["properties"]
    assert json.loads(lists.out)["type"] == "array"


@pytest.mark.parametrize("words", [("status",), ("reload",), ("traces",), ("purge", "--tag", "games")])
def test_nobody_answers(type_: Type, words: tuple[str, ...]) -> None:
    said = type_(*words, "--admin", "http://127.0.0.1:1")
    assert (said.status, said.out) == (2, "")
    assert "no gateway answers on http://127.0.0.1:1" in said.err


CONFIG = """
version: 1
upstreams:
  aurora: {targets: [{url: {env: AURORA_URL, default: "http://127.0.0.1:9201"}}]}
routes:
  - name: games
    match: {methods: [GET], path: /games}
    upstream: aurora
    rewrite: /v1/games
    policies: [{cache: {ttl: 5m, tags: [games]}}]
"""


def test_commands_that_ask_a_running_gateway(type_: Type) -> None:
    with provider("aurora") as aurora, running_gateway(CONFIG, environ={"AURORA_URL": aurora.url}) as running:
        at = ("--admin", running.admin)
        said = type_("status", *at)
        assert said.status == 0
        assert said.out.startswith("ready: generation 1 of ")
        assert json.loads(type_("status", *at, "--json").out)["generation"] == 1

        assert type_("traces", *at, "0123456789").status == 1
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        sent = AURORA | {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        del sent["authorization"]  # a cache passes such calls by
        assert httpx.get(running.url + "/games", headers=sent).status_code == 401
        running.wait_for_line(trace_id)
        drawn = type_("traces", trace_id[:8], *at)
        assert drawn.status == 0
        assert "GET /games" in drawn.out
        assert json.loads(type_("traces", trace_id, *at, "--json").out)["trace_id"] == trace_id
        listed = json.loads(type_("traces", *at, "--json", "--route", "games", "--slow", "--limit", "1").out)
        assert [call["trace_id"] for call in listed] == [trace_id]
        assert type_("traces", *at, "--route", "others").status == 1

        purged = type_("purge", "--tag", "games", *at)
        assert purged == (0, "0 cached answers forgotten\n", "")
        assert json.loads(type_("purge", "--route", "games", *at, "--json").out) == {"purged": 0}
        mistyped = type_("purge", "--route", "gmaes", *at)
        assert mistyped == (1, "", "no route with a cache is called 'gmaes'; did you mean 'games'?\n")

        assert type_("reload", *at).out == "generation 1 serves\n  nothing changed\n"
        assert json.loads(type_("reload", *at, "--json").out)["error"] == ""


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "gateway", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""


def test_interrupted(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.commands.run_schema", interrupt)
    assert type_("schema").status == 130


@pytest.mark.parametrize("words", [("platform",), ("provider",), ("provider", "borealis")])
def test_a_sandbox_without_a_port_ends_as_serve_does(type_: Type, words: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = type_("sandbox", *words, "--port", port)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use. ")
    assert said.err.count("\n") == 1


def test_sandboxes_and_demo_get_what_was_typed(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr("gateway.sandbox.serve_platform", lambda *args: seen.append(args) or 0)
    monkeypatch.setattr("gateway.sandbox.serve_provider", lambda *args: seen.append(args) or 0)
    monkeypatch.setattr("gateway.demo.run", lambda config, *, once: seen.append((config, once)) or 0)
    for words in (
        ("sandbox", "platform", "--port", "0"),
        ("sandbox", "provider"),
        ("sandbox", "provider", "borealis"),
        ("sandbox", "provider", "borealis", "--port", "0", "--callback", "http://127.0.0.1:7"),
        ("demo", "--once"),
    ):
        assert type_(*words) == (0, "", "")
    assert seen == [
        (0,),
        ("aurora", 9201, "http://127.0.0.1:8080"),
        ("borealis", 9202, "http://127.0.0.1:8080"),
        ("borealis", 0, "http://127.0.0.1:7"),
        (Path("routes.yaml"), True),
    ]
