"""Whatever callers and origins say, a log has one line per call, and nothing in it steers a terminal."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote
from uuid import uuid4

import pytest

from tests.edge.attacks.raw import converse, get, request
from tests.scenarios.running import Gateway, eventually, gateway
from tests.scenarios.scripted import Request, ScriptedOrigin, answer

CONFIG = """
    version: 1
    consumers:
      platform: {{credentials: [{{api_key: a-key}}, {{basic: {{username: u, password: p}}}}]}}
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - name: open
        match: {{methods: [GET, POST], path: "/open/*"}}
        upstream: origin
        policies: [{{error_codes: {{}}}}]
      - name: closed
        match: {{methods: [GET], path: "/closed/*"}}
        upstream: origin
        policies: [{{authentication: {{accept: [api_key, basic], consumers: [platform]}}}}]
    telemetry: {{logs: {{format: {form}, level: debug}}}}
    server: {{trusted_proxies: [127.0.0.0/8], drain: {{delay: 0s, grace: 1s}}}}
"""
FORGED = "2026-01-01T00:00:00.000Z 6.6.6.6 GET /forged 200"
"""What an attacker would have a line of the log say."""
BREAKS = {
    "line feed": "\n",
    "carriage return": "\r",
    "both": "\r\n",
    "escape": "\x1b[2J\x1b[1;1H",
    "escape of 8 bits": "\x9b2J",
    "escape of 8 bits that is no UTF-8": "\udc9b2J",
    "title of the window": "\x1b]0;forged\x07",
    "backspaces": "\x08" * 20,
    "NUL": "\0",
    "next line": "\x85",
    "vertical tab": "\x0b",
    "line separator": "\u2028",
    "right to left": "\u202e",
    "end of the JSON": '"}\n{"level":"info","message":"',
}


def encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in raw(text))


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def places(text: str) -> dict[str, bytes]:
    """Requests that have `text` in one place each, as it is or encoded. What is no HTTP gets a 400."""
    hostile, quoted = raw(text), encoded(text).encode()
    basic = base64.b64encode(hostile + b":" + hostile)
    return {
        "path": get(b"/open/a" + quoted),
        "path as it is": get(b"/open/a" + hostile),
        "query": get(b"/open/a?b=" + quoted),
        "query as it is": get(b"/open/a?b=" + hostile),
        "name of a parameter": get(b"/open/a?" + quoted + b"=token"),
        "method": request(b"GET" + hostile, b"/open/a"),
        "version": get(b"/open/a").replace(b"HTTP/1.1", b"HTTP/1.1" + hostile),
        "Host": get(b"/open/a", host=b"gateway" + hostile),
        "User-Agent": get(b"/open/a", b"User-Agent: a" + hostile + b"b"),
        "Referer": get(b"/open/a", b"Referer: a" + hostile + b"b"),
        "Traceparent": get(b"/open/a", b"Traceparent: 00-%b-%b-01" % (hostile, hostile)),
        "Tracestate": get(b"/open/a", b"Tracestate: a=" + hostile + b"b"),
        "Baggage": get(b"/open/a", b"Baggage: a=" + hostile + b"b"),
        "X-Forwarded-For": get(b"/open/a", b"X-Forwarded-For: 6.6.6.6" + hostile + b"b"),
        "X-Forwarded-Proto": get(b"/open/a", b"X-Forwarded-Proto: https" + hostile + b"b"),
        "Forwarded": get(b"/open/a", b'Forwarded: for="6.6.6.6' + hostile + b'"'),
        "name of a field": get(b"/open/a", b"X-A" + hostile + b": a"),
        "api key": get(b"/closed/a", b"X-Api-Key: a" + hostile + b"b"),
        "user": get(b"/closed/a", b"Authorization: Basic " + basic),
        "coding": request(b"POST", b"/open/a", b"Transfer-Encoding: " + hostile, body=b"a"),
        "error of the provider": get(b"/open/error", b"X-Case: " + encoded(text).encode()),
        "status of the provider": get(b"/open/status", b"X-Case: " + encoded(text).encode()),
        "field of the provider": get(b"/open/field", b"X-Case: " + encoded(text).encode()),
    }


def script(asked: Request) -> bytes:
    said = unquote(asked.headers.get("x-case", ""), errors="surrogateescape")
    if asked.line.startswith("GET /open/error"):
        return answer(422, json.dumps({"code": said + FORGED, "message": said + FORGED}).encode())
    if asked.line.startswith("GET /open/status"):
        return b"HTTP/1.1 200 " + raw(said) + b"\r\ncontent-length: 0\r\n\r\n"
    if asked.line.startswith("GET /open/field"):
        return b"HTTP/1.1 200 OK\r\nx-a: a" + raw(said) + b"b\r\ncontent-length: 0\r\n\r\n"
    return answer(200)


@pytest.fixture(scope="module", params=["json", "text"])
def running(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with (
        ScriptedOrigin(script) as origin,
        gateway(CONFIG.format(url=origin.url, form=request.param)) as made,
    ):
        yield made


def is_plain(line: str) -> bool:
    """No control, no separator of lines, no mark that turns the direction of what follows."""
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") for char in line)


@pytest.mark.attack(30)
@pytest.mark.parametrize("name", BREAKS)
def test_no_line_is_forged_and_no_terminal_steered(name: str, running: Gateway) -> None:
    """The request that comes last ends the wait: what was logged before it is then here."""
    lines = len(running.lines)
    sent = places(BREAKS[name] + FORGED)
    answered = 0
    for place in sent:
        try:
            answered += converse(running.port, sent[place]).startswith(b"HTTP/1.1 ")
        except (TimeoutError, ConnectionError) as error:
            raise AssertionError(f"{place}: {error!r}") from error
    assert answered == len(sent)
    mark = uuid4().hex
    converse(running.port, get(b"/open/" + mark.encode()))
    running.wait_for_line(mark)
    written = running.lines[lines:]
    assert [line for line in written if not is_plain(line)] == []
    assert not any(line.startswith(FORGED) for line in written)
    if "format: json" in running.path.read_text():
        read = [json.loads(line) for line in written]
        assert all(isinstance(line, dict) and {"time"} <= line.keys() for line in read)
        calls = [line for line in read if "status" in line]
    else:
        calls = [line for line in written if " trace=" in line]
        assert all(line.split()[0][:2] in ("20", *(f"{hour:02}" for hour in range(24))) for line in written)
    assert len(calls) <= len(sent) + 1, "more lines than calls"
    metrics = running.ask("/metrics").text.split("\n")
    assert all(not line or line[0] == "#" or line.startswith("gateway_") for line in metrics)
    assert [line for line in metrics if not is_plain(line)] == []


@pytest.mark.attack(30)
@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\x9b", "a\nb", "\x07"], ids=repr)
def test_a_bad_file_steers_no_terminal_either(text: str, running: Gateway) -> None:
    """Names and values of the configuration are told when they are wrong."""
    before, lines = (running.path).read_text(), len(running.lines)
    quoted = json.dumps(text)[1:-1]
    try:
        for line in (
            f'"{quoted}": 1',
            f'state: "{quoted}"',
            f"# {text}\nstate: [",
            f'telemetry: {{"{quoted}": {{}}}}',
        ):
            running.write(f"{before}\n{line}\n")
            assert running.ask("/api/reload", json={}).status_code == 422
    finally:
        running.write(before)
        assert running.ask("/api/reload", json={}).status_code == 200
    eventually(lambda: sum("reload refused" in line for line in running.lines[lines:]) >= 4)
    assert [line for line in running.lines[lines:] if not is_plain(line)] == []
