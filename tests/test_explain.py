"""`gateway explain` on the repository's own configuration, held to golden texts in tests/explain/.

A text begins with changes to the configuration, one a line, `~ FILE: OLD => NEW`, then the command as typed;
what it answers follows. `WRITE_GOLDEN=1 pytest tests/test_explain.py` writes the answers anew: read the diff.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import load
from gateway.errors import UpstreamError
from gateway.explain import NoControl, explain, render
from tests.support import make_exchange

ROOT = Path(__file__).parents[1]
GOLDEN = sorted((ROOT / "tests" / "explain").glob("*.txt"))
KEY = "x-api-key: demo-platform-key"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository's configuration, and nothing of this machine's environment."""
    shutil.copy(ROOT / "routes.yaml", tmp_path)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    for name in [
        name
        for name in os.environ
        if name.endswith(("_KEY", "_URL", "_PASSWORD", "_TTL", "_AFTER", "_EVERY"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    return tmp_path


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_what_explain_says(golden: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked, command = [], ""
    for line in golden.read_text().splitlines():
        asked.append(line)
        if line.startswith("$ "):
            command = line
            break
        name, _, change = line.removeprefix("~ ").partition(": ")
        old, arrow, new = change.partition(" => ")
        text = (folder / name).read_text()
        assert arrow
        assert old in text, f"{name} no longer has {old}"
        (folder / name).write_text(text.replace(old, new))
    with pytest.raises(SystemExit) as left:
        main(shlex.split(command.removeprefix("$ gateway ")))
    said = capsys.readouterr()
    told = "\n".join([*asked, said.out + said.err + f"exit status {left.value.code}", ""])
    if os.environ.get("WRITE_GOLDEN"):
        golden.write_text(told)
    assert told == golden.read_text()


def test_there_are_enough_situations() -> None:
    assert len(GOLDEN) >= 12


def test_json_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["explain", "GET", "/aurora/games", "--json", "--header", KEY])
    told = json.loads(capsys.readouterr().out)
    assert left.value.code == 0
    assert (told["route"], told["consumer"], told["target"], told["refused"]) == (
        "aurora-games", "platform", "/v1/games", "",
    )  # fmt: skip
    assert [step["name"] for step in told["policies"]][:2] == ["authentication", "ip_allow_list"]


def test_secrets_are_never_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ([], ["--json"]):
        for route in load(folder / "routes.yaml", {}).routes:
            path = route.match.path.replace("/*", "/bet").replace(":", "")
            with pytest.raises(SystemExit):
                main(["explain", *route.match.methods, path, "--header", KEY, *form])
    said = capsys.readouterr()
    for secret in ("demo-platform-key", "demo-aurora", "demo-borealis"):
        assert secret not in said.out + said.err


PRIVATE = """
version: 1
upstreams: {it: {targets: [{url: "http://127.0.0.1:9"}], health: {path: "/health?key=s3cret"}}}
routes:
  - name: launch
    match: {methods: [GET], path: "/launch/:token/:nickname"}
    upstream: it
    rewrite: /v1/:nickname/:token
    policies: [{rate_limit: {rate: 5/second, by: "header:x-session"}}]
telemetry: {mask: {parameters: [tag]}}
"""


def test_secrets_and_personal_data_that_were_typed_are_not_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "routes.yaml").write_text(PRIVATE)
    calls = [
        ["/launch/s3cret/bob?sid=s3cret&tag=bob&to=bob@x.example&page=2", "--header", "x-session: s3cret"],
        ["/nowhere/bob@x.example/4111111111111111?token=s3cret"],
        ["/launch/s3cret/bob", "--header", "s3cret"],
    ]
    for call in calls:
        for form in ([], ["--json"]):
            with pytest.raises(SystemExit):
                main(["explain", "GET", *call, "--config", str(tmp_path / "routes.yaml"), *form])
    said = capsys.readouterr()
    assert "GET /launch/REDACTED/MASKED from 127.0.0.1" in said.out
    assert ":token is REDACTED, :nickname is MASKED" in said.out
    assert "/v1/MASKED/REDACTED?sid=REDACTED&tag=MASKED&to=MASKED&page=2" in said.out
    assert "counts this call for its x-session towards 5/second" in said.out
    assert "GET /nowhere/MASKED/MASKED from 127.0.0.1" in said.out
    for text in ("s3cret", "bob", "4111"):
        assert text not in said.out + said.err


async def test_a_target_that_cannot_be_is_told(folder: Path) -> None:
    """The edge lets no such path in; an embedder might."""
    text = (folder / "routes.yaml").read_text()
    text = text.replace("path: /callbacks/aurora/*}", "path: /callbacks/aurora/*}\n    rewrite: /wallet/*")
    (folder / "routes.yaml").write_text(text)
    told = await explain(load(folder / "routes.yaml", {}), make_exchange("POST", "/callbacks/aurora/../x"))
    assert (told.refused, told.target) == ("UNAUTHENTICATED", "")
    assert "not reached" in render(told)


async def test_explaining_calls_nobody() -> None:
    with pytest.raises(UpstreamError, match="explain makes no calls"):
        await NoControl().request("GET", "https://id.example/keys")
