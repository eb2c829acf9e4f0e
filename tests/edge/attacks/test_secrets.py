"""Values from the environment and from files are text, whatever they look like: never YAML, never shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from gateway.config import ConfigError, load
from tests.edge.attacks.raw import get, told
from tests.scenarios.origin import Origin
from tests.scenarios.running import Gateway, gateway

pytestmark = pytest.mark.attack(29)

VALUES = [
    "{env: HOME}",
    "{file: /etc/passwd}",
    "{env: NOBODY_SETS_THIS, default: evil}",
    '!!python/object/apply:os.system ["touch planted"]',
    "!!binary aGVsbG8=",
    "*anchor",
    "&anchor value",
    "<<: *anchor",
    "null",
    "~",
    "yes",
    "false",
    "010",
    "0x1f",
    "1e3",
    "12:30:00",
    "2026-01-01",
    "- a: b",
    "key: value",
    "# a comment",
    "a # comment",
    "'",
    '"',
    '"quoted"',
    "[a, b",
    "{a: b",
    "}, consumers: {evil: {}",
    "%TAG ! tag:evil,2000:",
    "|",
    ">-",
    "? a",
    "@at",
    "`tick`",
    "${HOME}",
    "$(id)",
    "{{ 7 * 7 }}",
    "%(asctime)s",
    "\\n\\x41",
    "---",
    "...",
]
LINES = [
    "first\nconsumers: {evil: {credentials: [{api_key: evil}]}}",
    "a'\n  networks: []\n  credentials: [{api_key: evil}]\n",
    "a\n---\nversion: 2\nconsumers: {evil: {}}\n",
    '"\n- evil\n- evil\n- evil\n- evil\n- evil',
    "a\r\nb: c\r\nroutes: []\r\nconsumers: {}",
    "tab\tand\x0bvertical tab, and \u2028 a separator",
]
"""Of several lines: shared secrets that JWTs are signed with."""


@pytest.fixture(scope="module", params=["env", "file"])
def running(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """One whose consumers have these values for secrets, from the environment or from files."""
    environ, files, consumers = {}, {}, []

    def keep(name: str, value: str) -> str:
        environ[name] = value
        files[f"secrets/{name}"] = value + "\n"
        return f"{{env: {name}}}" if request.param == "env" else f"{{file: secrets/{name}}}"

    for number, value in enumerate(VALUES):
        consumers.append(f"  c{number}: {{credentials: [{{api_key: {keep(f'KEY_{number}', value)}}}]}}")
    for number, value in enumerate(LINES):
        shared = f"{{subject: s{number}, key: {keep(f'LINES_{number}', value)}}}"
        consumers.append(f"  s{number}: {{credentials: [{{jwt: {shared}}}]}}")
    with Origin() as origin:
        config = f"""\
version: 1
consumers:
{chr(10).join(consumers)}
upstreams: {{origin: {{targets: [{{url: "{origin.url}"}}]}}}}
routes:
  - name: all
    match: {{methods: [GET], path: "/*"}}
    upstream: origin
    policies: [{{authentication: {{accept: [api_key, jwt]}}}}]
"""
        with gateway(config, environ=environ, files=files) as made:
            yield made


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_looks_like_yaml_is_the_key_as_it_is(value: str, running: Gateway) -> None:
    assert told(running.port, get(b"/a", b"X-Api-Key: " + value.encode())).status == 200
    assert told(running.port, get(b"/a", b"X-Api-Key: x" + value.encode())).status == 401


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_value_of_several_lines_adds_none_to_the_file(number: int, running: Gateway) -> None:
    claims = {"sub": f"s{number}", "exp": int(time.time()) + 600}
    for secret, status in ((LINES[number], 200), (LINES[number] + "x", 401)):
        token = jwt.encode(claims, secret.encode(), "HS256").encode()
        assert told(running.port, get(b"/a", b"Authorization: Bearer " + token)).status == status
    assert told(running.port, get(b"/a", b"X-Api-Key: evil")).status == 401


def test_none_of_them_is_shown_or_run(running: Gateway) -> None:
    shown = [*running.lines, running.ask("/metrics").text]
    shown += [running.ask(path).text for path in ("/api/status", "/api/traces")]
    text = "\n".join(shown)
    assert [value for value in VALUES if len(value) > 10 and value in text] == []
    assert "evil" not in text
    assert not any(Path(folder, "planted").exists() for folder in (running.folder, Path.cwd()))


BESIDE = """\
version: 1
upstreams: {origin: {targets: [{url: URL, weight: WEIGHT}], timeout: {total: TOTAL}}}
routes:
  - {name: all, match: {methods: [GET], path: PATH}, upstream: origin, policies: [{rate_limit: {rate: RATE}}]}
"""
GOOD = {
    "URL": "http://127.0.0.1:9", "WEIGHT": "1", "TOTAL": "5s", "PATH": "/a", "RATE": "5/second"
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "planted", ["}], evil: [{", "\nroutes: []", " # rest", "{file: /etc/passwd}", "\x1b[2J"]
)
def test_a_value_in_any_other_place_is_only_that_value(name: str, planted: str, tmp_path: Path) -> None:
    """It is refused at its place, in one line that no escape steers."""
    text, environ = BESIDE, GOOD | {name: GOOD[name] + planted}
    for other in GOOD:
        text = text.replace(other, f"{{env: {other}}}", 1)
    (tmp_path / "routes.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.yaml", environ)
    for finding in caught.value.findings:
        assert finding.file.endswith("routes.yaml")
        assert str(finding).isprintable(), "a log would show more lines, or an escape"
        assert finding.line in (2, 4)
