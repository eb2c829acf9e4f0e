"""The admin port: for this machine alone, or for who has the token; no page elsewhere changes anything."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.attacks.raw import Told, request, told
from tests.scenarios.origin import Origin
from tests.scenarios.running import Gateway, gateway

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "{url}"}}]}}}}
    routes:
      - name: games
        match: {{methods: [GET], path: /games}}
        upstream: origin
        policies: [{{cache: {{}}}}]
    server: {{drain: {{delay: 0s, grace: 1s}}{more}}}
"""
TOKEN = "the-token-of-the-Admin"
READS = [b"/metrics", b"/api/status", b"/api/traces", b"/api/traces/ab"]
CHANGES = [b"/api/reload", b"/api/cache/purge"]
JSON = b"Content-Type: application/json"
PURGE = b'{"route": "games"}'

pytestmark = pytest.mark.attack(31)


@pytest.fixture(scope="module")
def local() -> Iterator[Gateway]:
    """Without a token."""
    with Origin() as origin, gateway(CONFIG.format(url=origin.url, more="")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[Gateway]:
    """With a token, and with the name it is served under."""
    more = f", admin: {{token: {TOKEN}}}"
    with Origin() as origin, gateway(CONFIG.format(url=origin.url, more=more)) as running:
        yield running


def port(running: Gateway) -> int:
    return int(running.admin.rpartition(":")[2])


def ask(
    running: Gateway, method: bytes, path: bytes, *fields: bytes, body: bytes = b"", host: bytes = b""
) -> Told:
    host = host or b"127.0.0.1:%d" % port(running)
    return told(port(running), request(method, path, *fields, body=body, host=host))


def changed(running: Gateway) -> tuple[int, float]:
    """What a change would change: how often it was reloaded, and what is kept."""
    head = [b"Authorization: Bearer " + TOKEN.encode()]
    text = ask(running, b"GET", b"/metrics", *head).body.decode()
    counts = [
        line
        for line in text.splitlines()
        if line.startswith(("gateway_config_reloads", "gateway_cache_bytes"))
    ]
    return len(counts), sum(float(line.rpartition(" ")[2]) for line in counts)


def keep_an_answer(running: Gateway) -> tuple[int, float]:
    told(running.port, request(b"GET", b"/games"))
    return changed(running)


# Another name for this machine (DNS rebinding).


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:%d",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"127.0.0.1.nip.io:%d",
        b"127.0.0.1@evil.example",
        b"evil.example#127.0.0.1",
        b"evil.example/127.0.0.1",
        b"localhost/healthz?",
        b"127.0.0.1/healthz",
        b"[::1].evil.example",
        b"0.0.0.0",
        b"2130706433",
        b"localhost.",
        b"127.0.0.1:80:%d",
        b"",
    ],
)
def test_a_name_that_only_points_here_is_refused(host: bytes, local: Gateway) -> None:
    host = host.replace(b"%d", b"%d" % port(local))
    before = keep_an_answer(local)
    for path in READS:
        sent = request(b"GET", path, host=host)
        assert told(port(local), sent).status in (400, 403)
    for path in CHANGES:
        sent = request(b"POST", path, JSON, body=PURGE, host=host)
        assert told(port(local), sent).status in (400, 403)
    assert changed(local) == before


# Pages elsewhere, in the browser of whoever sits here: forms and simple requests.


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (b"Content-Type: text/plain",),
        (b"Content-Type: application/x-www-form-urlencoded",),
        (b"Content-Type: multipart/form-data; boundary=a",),
        (b"Content-Type: text/plain; application/json",),
        (b"Content-Type: text/plain;charset=application/json",),
        (b"Content-Type: application/jsonp",),
        (b"Content-Type: application/json, text/plain",),
        (b"Content-Type: text/plain", b"Content-Type: application/json"),
        (b"Content-Type:",),
        (b"X-Content-Type: application/json",),
    ],
    ids=lambda fields: b" ".join(fields).decode() or "none",
)
@pytest.mark.parametrize("body", [PURGE, b"", b"route=games", b'{"route": "games", "a": "=b"}'])
def test_what_a_form_can_send_changes_nothing(fields: tuple[bytes, ...], body: bytes, local: Gateway) -> None:
    before = keep_an_answer(local)
    for path in CHANGES:
        assert ask(local, b"POST", path, *fields, body=body).status == 415
        assert ask(local, b"POST", path, *fields, b"Origin: http://evil.example", body=body).status == 403
    assert changed(local) == before


@pytest.mark.parametrize(
    "method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"post"]
)
def test_no_other_method_changes_anything(method: bytes, local: Gateway) -> None:
    before = keep_an_answer(local)
    for path in (*CHANGES, b"/api/cache/purge?route=games", b"/api/reload?_method=POST"):
        said = ask(
            local,
            method,
            path,
            JSON,
            b"X-HTTP-Method-Override: POST",
            body=b"" if method == b"GET" else PURGE,
        )
        assert said.status in (400, 405)
        assert not any(name.startswith("access-control-") for name in said.fields)
    assert changed(local) == before


@pytest.mark.parametrize("path", READS)
def test_no_page_elsewhere_may_read_or_frame_it(path: bytes, local: Gateway) -> None:
    said = ask(local, b"GET", path, b"Origin: http://evil.example")
    assert not any(name.startswith("access-control-") for name in said.fields)
    assert said.fields["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (said.fields["x-content-type-options"], said.fields["cache-control"]) == ("nosniff", "no-store")


# The token.

WRONG = [
    (),
    (b"Authorization:",),
    (b"Authorization: Bearer",),
    (b"Authorization: Bearer ",),
    (b"Authorization: %b",),
    (b"Authorization: Bearer%b",),
    (b"Authorization: Bearer %bx",),
    (b"Authorization: Bearer x%b",),
    (b"Authorization: Bearer %b %b",),
    (b"Authorization: Bearer %b, Bearer %b",),
    (b"Authorization: Basic %b",),
    (b"Authorization: Token %b",),
    (b'Authorization: Bearer "%b"',),
    (b"Authorization: Bearer %b\xc3\xa4",),
    (b"Authorization: Bearer null",),
    (b"Authorization: Bearer x", b"Authorization: Bearer %b"),
    (b"X-Authorization: Bearer %b",),
    (b"Proxy-Authorization: Bearer %b",),
    (b"Cookie: token=%b",),
    (b"X-Forwarded-For: 127.0.0.1",),
    (b"Host: localhost",),
]


@pytest.mark.parametrize("fields", WRONG, ids=lambda fields: b" ".join(fields).decode("latin-1") or "none")
def test_without_the_token_nothing_is_told(fields: tuple[bytes, ...], guarded: Gateway) -> None:
    shown = [field.replace(b"%b", TOKEN.encode()) for field in fields]
    before = keep_an_answer(guarded)
    for path in READS:
        for method in (b"GET", b"HEAD"):
            said = ask(guarded, method, path, *shown)
            assert said.status in (400, 401)
    for path in CHANGES:
        assert ask(guarded, b"POST", path, JSON, *shown, body=PURGE).status in (400, 401)
    assert changed(guarded) == before


@pytest.mark.parametrize(
    "token",
    [TOKEN.lower(), TOKEN.upper(), TOKEN[:-1], TOKEN[1:], TOKEN[0], TOKEN + "\t!", TOKEN[::-1], "*", "%"],
)
def test_a_token_that_is_nearly_right_is_wrong(token: str, guarded: Gateway) -> None:
    assert ask(guarded, b"GET", b"/api/status", b"Authorization: Bearer " + token.encode()).status == 401


@pytest.mark.parametrize(
    "target",
    [
        b"/api/status?token=" + TOKEN.encode(),
        b"/api/status?access_token=" + TOKEN.encode(),
        b"/healthz/../api/status",
        b"/healthz/%2e%2e/api/status",
        b"/healthz%2f..%2fapi/status",
        b"//api/status",
        b"/api//status",
        b"/api/status/",
        b"/API/STATUS",
        b"/api/status;/healthz",
        b"/api/status%00/healthz",
        b"/api/status#/healthz",
        b"/api/status?/healthz",
        b"http://127.0.0.1/healthz?/api/status",
        b"http://127.0.0.1/api/status",
    ],
)
def test_no_target_goes_around_the_token(target: bytes, guarded: Gateway) -> None:
    said = ask(guarded, b"GET", target)
    assert said.status != 200 or said.body == b"ok\n"
    assert b"fingerprint" not in said.body


@pytest.mark.parametrize("host", [b"localhost/healthz?", b"x/healthz#", b"/healthz", b"127.0.0.1:1/readyz?"])
def test_no_host_goes_around_the_token(host: bytes, guarded: Gateway) -> None:
    """Some libraries read the path of a request out of Host and path together."""
    assert ask(guarded, b"GET", b"/api/status", host=host).status in (400, 401)


def test_the_token_opens_under_any_name(guarded: Gateway) -> None:
    right = b"Authorization: Bearer " + TOKEN.encode()
    assert ask(guarded, b"GET", b"/api/status", right, host=b"gateway.example").status == 200
    assert ask(guarded, b"POST", b"/api/reload", right, b"Content-Type: text/plain", body=b"{}").status == 415
    shown = "\n".join([*guarded.lines, ask(guarded, b"GET", b"/api/status", right).body.decode()])
    assert TOKEN not in shown


# Where it listens.


def test_by_default_it_listens_on_this_machine_alone(local: Gateway) -> None:
    """A socket for all addresses would answer on 127.0.0.2 as well."""
    assert local.admin.startswith("http://127.0.0.1:")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port(local)), 5)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1.", "10.0.0.1"])
def test_without_a_token_it_is_opened_to_nobody_outside(host: str, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nupstreams: {a: {targets: [{url: 'http://127.0.0.1:9'}]}}\n"
        "routes: [{name: a, match: {methods: [GET], path: /a}, upstream: a}]\n"
    )
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "routes.yaml")]
    said = subprocess.run(
        [*command, "--port", "0", "--admin-port", "0", "--admin-host", host],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert "server.admin.token" in said.stderr
