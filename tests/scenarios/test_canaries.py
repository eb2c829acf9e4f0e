"""Canaries in every input, and every output searched for them: none may be found, in any form."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from textwrap import dedent
from time import time
from typing import Any

import jwt
import pytest
import trustme

from gateway.cli import main
from gateway.config import load
from gateway.edge.proxy import Proxy
from gateway.exchange import Exchange
from gateway.generation import Generation, World
from gateway.logs import JsonFormatter, TextFormatter
from gateway.observer.masking import Masking
from gateway.observer.observer import ObserverSettings
from gateway.recorder import Recorder
from gateway.stores import Stores
from tests.observer.support import Receiver
from tests.scenarios.canaries import PERSONS, SECRETS, found_in
from tests.scenarios.running import Gateway, eventually, gateway
from tests.scenarios.scripted import Request, ScriptedOrigin, answer
from tests.support import NoControl, make_exchange, make_services

S, P = SECRETS, PERSONS
SERVICE_KEY = f"{S['jwt-key']}-and-some-more-of-it"
ENVIRON = {
    "PLATFORM_KEY": S["api-key"],
    "OAUTH_SECRET": S["oauth-secret"],
    "ADMIN_PREVIOUS": S["admin-token-rotated"],
    "STATE": f"valkey://:{S['store-password']}@127.0.0.1:1/0",
    "PYTHONFAULTHANDLER": "1",
}
FILES = {
    "secrets/rotated": S["api-key-rotated"],
    "secrets/password": S["basic-password"],
    "secrets/introspection": S["introspection-secret"],
    "secrets/admin": S["admin-token"],
    "secrets/collector": S["collector-key"],
    "secrets/set-header": S["set-header"],
}
CONFIG = f"""
    version: 1
    consumers:
      platform:
        credentials:
          - {{api_key: {{env: PLATFORM_KEY, default: {S["unused-default"]}}}}}
          - {{api_key: {{file: secrets/rotated}}}}
      partner:
        credentials: [{{basic: {{username: partner, password: {{file: secrets/password}}}}}}]
      studio:
        credentials: [{{jwt: {{subject: studio, key: {SERVICE_KEY}}}}}]
      asker:
        credentials: [{{introspection: {{client_id: asker}}}}]
    upstreams:
      origin:
        targets: [{{url: "ORIGIN"}}]
        health: {{path: "/health?key={S["health-key"]}", every: 200ms}}
      down: {{targets: [{{url: "http://127.0.0.1:1"}}]}}
      secure:
        targets: [{{url: "https://127.0.0.1:1"}}]
        tls: {{ca: secrets/ca.pem, certificate: secrets/own.pem, key: secrets/own.key}}
    routes:
      - name: games
        match: {{methods: [GET, POST], path: /games/*}}
        upstream: origin
        policies: [known, {{upstream_auth: {{bearer: {S["bearer"]}}}}}]
      - name: keyed
        match: {{methods: [GET], path: /keyed}}
        upstream: origin
        policies: [{{authentication: {{accept: [{{api_key: {{query: k}}}}]}}}}, {{cache: {{ttl: 1m}}}}]
      - name: launch
        match: {{methods: [GET], path: "/launch/:token/:nickname"}}
        upstream: origin
        rewrite: "/v1/:nickname/start/:token"
        policies: [{{upstream_auth: {{api_key: {{value: {S["upstream-key"]}}}}}}}]
      - {{name: open, match: {{methods: [GET, POST], path: /open/*}}, upstream: origin, policies: [mapped]}}
      - {{name: down, match: {{methods: [GET], path: /down/*}}, upstream: down, policies: [again]}}
      - {{name: secure, match: {{methods: [GET], path: /secure}}, upstream: secure}}
      - name: issued
        match: {{methods: [GET], path: /issued}}
        upstream: origin
        policies:
          - upstream_auth:
              oauth2_client_credentials:
                token_url: "http://127.0.0.1:1/token"
                client_id: us
                client_secret: {{env: OAUTH_SECRET}}
      - name: asked
        match: {{methods: [GET], path: /asked}}
        upstream: origin
        policies:
          - authentication:
              accept:
                - introspection:
                    url: "http://127.0.0.1:1/ask"
                    client_id: us
                    client_secret: {{file: secrets/introspection}}
              consumers: [asker]
    telemetry:
      traces: {{endpoint: "RECEIVER", headers: {{x-collector-key: {{file: secrets/collector}}}}}}
      logs: {{level: debug}}
      mask: {{parameters: [tag]}}
    state: {{env: STATE}}
    server:
      drain: {{delay: 0s, grace: 2s}}
      admin: {{token: {{file: secrets/admin}}, previous_token: {{env: ADMIN_PREVIOUS}}}}
"""
LISTS = {
    "known": """\
        - authentication: {accept: [api_key, basic, jwt]}
        - rate_limit: {rate: 10000/second, by: "header:x-session", scope: shared}
        - headers: {request: {set: {x-ours: {file: secrets/set-header}}}}
    """,
    "mapped": "- error_codes: {codes: {G404: GAME_UNAVAILABLE}}",
    "again": "- retry: {attempts: 2, budget: 100%, backoff: {base: 1ms, max: 1ms}}",
}
QUERY = "&".join([
    f"authToken={S['query-auth-token']}", f"hash={S['query-hash']}", f"sign={S['query-sign']}",
    f"key={S['query-key']}", f"token={S['query-token']}", f"sessionId={S['query-session-id']}",
    f"%61uth%54oken={S['query-encoded-name']}", f"email={P['email']}", f"to={P['email'].replace('@', '%40')}",
    f"firstName={P['first-name']}", f"address={P['address'].replace(' ', '+')}",
    f"phone={P['phone'].replace('+', '%2B')}", f"birthDate={P['birth-date']}",
    f"playerName={P['player-name']}",
    f"t_a-g={P['tag']}", f"note=card+{P['card']}", f"card={P['card'][:4]}-{P['card'][4:8]}-{P['card'][8:]}",
    "page=2",
])  # fmt: skip
COMMON = [
    "host: gateway.example", f"cookie: a={S['cookie']}; session={S['cookie']}",
    f"x-session: {S['x-session']}",
    f"referer: https://lobby.example/?token={S['referer-token']}",
    f"user-agent: bot/1 (+mailto:{P['email-of-agent']}) {P['card']}",
    f"proxy-authorization: Basic {S['proxy-authorization']}", "connection: close",
]  # fmt: skip


def basic(user: str, password: str) -> str:
    return f"authorization: Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def service_token() -> str:
    return jwt.encode({"sub": "studio", "exp": int(time()) + 600}, SERVICE_KEY, "HS256")


def respond(request: Request) -> bytes:
    """What the origin says: canaries in the parts of an answer that nobody but the caller may see."""
    path = request.line.split()[1]
    cookie = f"set-cookie: session={S['set-cookie']}"
    header = f"x-their-token: {S['answer-header']}"
    if "redirect" in path:
        where = f"location: https://lobby.example/?token={S['location-token']}"
        return answer(302, S["answer-body"].encode(), cookie, where)
    if "broken" in path:
        return (
            f"HTTP/1.1 200 OK\r\nx-token {S['broken-answer']}\r\n\x00: {S['broken-answer']}\r\n\r\n".encode()
        )
    if "error" in path:
        body = {"code": "G404", "message": "no such game", "secret": S["error-body"]}
        return answer(404, json.dumps(body).encode(), cookie, header)
    if "unmapped" in path:
        return answer(500, json.dumps({"secret": S["error-body"]}).encode(), cookie)
    if "reset" in path:
        return b""
    return answer(200, json.dumps({"secret": S["answer-body"]}).encode(), cookie, header)


def head(method: str, target: str, *fields: str, body: str = "") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *COMMON, *fields]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", body]).encode()


def conversations() -> Iterator[tuple[str, bytes]]:
    """(name, bytes of a request): good ones, refused ones, broken ones, and ones whose upstream fails."""
    key = f"x-api-key: {S['api-key']}"
    person = f"/games/{P['email-in-path']}/{P['card-in-path']}?{QUERY}"
    body = json.dumps({"pin": S["request-body"], "email": P["email"]})
    yield "good by key", head("GET", person, key)
    yield "good by rotated key", head("POST", person, f"x-api-key: {S['api-key-rotated']}", body=body)
    yield "good by password", head("GET", person, basic("partner", S["basic-password"]))
    yield "good by token", head("GET", person, f"authorization: Bearer {service_token()}")
    yield "good by query", head("GET", f"/keyed?%6b={S['api-key']}&page=1")
    yield "good by query, kept", head("GET", f"/keyed?k={S['api-key']}&page=1")
    launch = f"/launch/{S['path-token']}/{P['nickname-in-path']}?{QUERY}"
    yield "good with a token in its path", head("GET", launch)
    yield "redirected", head("GET", f"/open/redirect?{QUERY}")
    yield "wrong key", head("GET", person, f"x-api-key: {S['wrong-key']}")
    yield "wrong password", head("GET", person, basic("partner", S["wrong-basic"]))
    yield "wrong token", head("GET", person, f"authorization: Bearer {S['wrong-bearer']}")
    yield "wrong key in the query", head("GET", f"/keyed?k={S['query-of-policy']}")
    yield "two keys in the query", head("GET", f"/keyed?k={S['query-of-policy']}&k={S['api-key']}")
    yield (
        "nobody answers about the token",
        head("GET", "/asked", f"authorization: Bearer {S['wrong-bearer']}"),
    )
    yield "no token to be had", head("GET", "/issued")
    yield "no route", head("GET", f"/nowhere/{P['email-in-path']}?token={S['unrouted-token']}&{QUERY}")
    yield "wrong method", head("DELETE", f"/games/{P['card-in-path']}?{QUERY}", key)
    yield "no such upstream", head("GET", f"/down/{P['email-in-path']}?{QUERY}")
    yield "no handshake", head("GET", f"/secure?{QUERY}")
    yield "upstream resets", head("POST", f"/open/reset?{QUERY}", body=body)
    yield "upstream is broken", head("GET", f"/open/broken?{QUERY}")
    yield "upstream refuses", head("GET", f"/open/error?{QUERY}")
    yield "upstream fails", head("GET", f"/open/unmapped?{QUERY}")
    yield "absolute form", head("GET", f"http://user:{S['absolute-token']}@gateway.example/open/x")
    yield "a broken head", head("GET", "/open/x", f"bad header {S['broken-head']}", "x\x00y: z")
    yield "a broken target", head("GET", f"/open/%zz/{S['broken-target']}?{QUERY}")
    yield "a long target", head("GET", f"/open/x?token={S['query-token'] * 400}")
    yield "a long head", head("GET", "/open/x", f"x-long: {S['broken-head'] * 1500}")
    yield (
        "a body that is no body",
        head("POST", "/open/x", "content-length: 5", "content-length: 6", body=body),
    )


def send(port: int, data: bytes) -> bytes:
    """All that comes back before the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(data)
        answered = b""
        try:
            while piece := connection.recv(65_536):
                answered += piece
        except ConnectionError:
            pass
        return answered


def gateways_own(answered: bytes) -> bool:
    """Is this an answer of the gateway's own? What it passes on is the upstream's to say."""
    return b"content-type: application/problem+json" in answered.lower() or b"HTTP/1.1 200" not in answered


def command(*arguments: str) -> str:
    """What `gateway` says, in this process."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit):
        main(list(arguments))
    return said.getvalue()


class Outputs(dict[str, str]):
    """Name of an output → all that it said."""

    def add(self, name: str, text: str | bytes) -> None:
        text = text.decode("latin-1") if isinstance(text, bytes) else text
        self[name] = self.get(name, "") + text + "\n"


BAD = {
    "an admin token that no header carries": ("secrets/admin", f"{S['admin-token']}\x01{S['admin-token']}"),
    "an export header with a line break": ("secrets/collector", f"{S['collector-key']}\r\nx: 1"),
    "a header with a line break": ("secrets/set-header", f"{S['set-header']}\r\nx: {S['set-header']}"),
    "a password with a control character": ("secrets/password", f"{S['basic-password']}\x07"),
    "a key that is empty": ("secrets/rotated", ""),
}
"""Bad values at secret places: file and content."""
BAD_TEXT = {
    "a short key": (SERVICE_KEY, S["jwt-key"][:20]),
    "a key of another kind": (SERVICE_KEY, f"[{S['jwt-key']}]"),
    "a bearer that is a list": (S["bearer"], f"[{S['bearer']}]"),
    "a state elsewhere": ("state: {env: STATE}", f"state: redis://:{S['store-password']}@127.0.0.1:1"),
    "a key next to a mistake": (S["upstream-key"], f"{S['upstream-key']}, vlaue: 5"),
    "a path with a secret": ('"/health?key=', '"health?key='),
    "no YAML at all": (f"{{bearer: {S['bearer']}}}", f"{{bearer: {S['bearer']}"),
}


def drive(running: Gateway, outputs: Outputs, text: str) -> None:
    proof = {"authorization": f"Bearer {S['admin-token']}"}

    def told(path: str, **more: Any) -> str:
        return str(running.ask(path, headers=proof, **more).text)

    for name, request in conversations():
        answered = send(running.port, request)
        assert answered, name
        if name.startswith("good"):
            assert answered.startswith(b"HTTP/1.1 200"), (name, answered)
        elif gateways_own(answered) and "redirected" not in name:
            outputs.add("answers to callers", answered)
    for shown in (S["wrong-key"], S["admin-token"][:-1]):
        refused = running.ask("/api/status", headers={"authorization": f"Bearer {shown}"})
        assert refused.status_code == 401
        outputs.add("admin port", refused.text)
    eventually(lambda: len(json.loads(told("/api/traces?limit=1000"))) > 10)
    outputs.add("admin port", told("/metrics") + told("/api/status"))
    traces = told("/api/traces?limit=1000")
    outputs.add("traces", traces)
    ids = [call["trace_id"] for call in json.loads(traces)]
    outputs.add("traces", "".join(told(f"/api/traces/{trace}") for trace in ids))
    outputs.add("command line", command("status", "--admin", running.admin))
    outputs.add("command line", command("status", "--admin", running.admin, "--json"))
    outputs.add("command line", command("traces", "--admin", running.admin, "--limit", "100"))
    shown = "".join(command("traces", "--admin", running.admin, trace) for trace in ids[:12])
    outputs.add("command line", shown)
    crash(running)
    spoil(running, outputs, told, text)


def crash(running: Gateway) -> None:
    """End workers as bugs would, with calls under way and a stack dump on standard error."""
    proof = {"authorization": f"Bearer {S['admin-token']}"}
    for number in (signal.SIGABRT, signal.SIGSEGV):
        (worker,) = json.loads(running.ask("/api/status", headers=proof).text)["workers"]
        stopped = threading.Event()

        def call(stopped: threading.Event = stopped) -> None:
            while not stopped.is_set():
                try:
                    send(running.port, head("GET", f"/open/x?{QUERY}"))
                except OSError:
                    return

        callers = [threading.Thread(target=call) for _ in range(2)]
        for caller in callers:
            caller.start()
        os.kill(worker["pid"], number)
        running.wait_for_line(f"(process {worker['pid']}) died with status -{number}")
        eventually(lambda: running.ask("/readyz").status_code == 200, seconds=20)
        stopped.set()
        for caller in callers:
            caller.join()
    assert [line for line in running.lines if "Fatal Python error" in line], "no stack was dumped"


def spoil(running: Gateway, outputs: Outputs, told: Any, text: str) -> None:
    """Reload with bad values at secret places, in the files and in the configuration itself."""
    config = running.folder / "routes.yaml"

    def tried(name: str) -> None:
        outputs.add("reloads", told("/api/reload", json={}) + told("/api/status"))
        outputs.add("check", command("check", "--config", str(config)))
        found = command("check", "--config", str(config), "--json")
        outputs.add("check", found)
        assert '"severity": "error"' in found, (name, found)

    for name, (path, content) in BAD.items():
        good = (running.folder / path).read_text()
        (running.folder / path).write_text(content)
        tried(name)
        (running.folder / path).write_text(good)
    for name, (before, after) in BAD_TEXT.items():
        assert before in text, name
        running.write(text.replace(before, after), LISTS)
        tried(name)
    running.write(text, LISTS)
    outputs.add("reloads", told("/api/reload", json={}))


def describe(folder: Path, outputs: Outputs) -> None:
    """All that is said of a configuration without a gateway."""
    config = str(folder / "routes.yaml")
    outputs.add("check", command("check", "--config", config))
    for target in (
        f"/games/{P['email-in-path']}?{QUERY}", f"/launch/{S['path-token']}/{P['nickname-in-path']}?{QUERY}",
        f"/keyed?k={S['query-of-policy']}", f"/nowhere/{P['email-in-path']}?{QUERY}", "/issued", "/asked",
    ):  # fmt: skip
        for field in (
            f"x-api-key: {S['api-key']}", f"authorization: Bearer {S['wrong-bearer']}",
            f"cookie {S['cookie']}",
        ):  # fmt: skip
            more = ["--header", field, "--header", f"x-session: {S['x-session']}", "--config", config]
            outputs.add("explain", command("explain", "GET", target, *more))
        outputs.add("explain", command("explain", "GET", target, *more[2:], "--json"))
    changed = folder / "changed"
    changed.mkdir()
    for path in ("secrets", "policies"):
        (changed / path).symlink_to(folder / path)
    text = (folder / "routes.yaml").read_text()
    for name in ("bearer", "upstream-key", "health-key", "jwt-key"):
        text = text.replace(S[name], S[name][::-1])
    (changed / "routes.yaml").write_text(text)
    outputs.add("diff", command("diff", config, str(changed / "routes.yaml")))
    outputs.add("diff", command("diff", config, str(changed / "routes.yaml"), "--json"))
    assert "is changed" in outputs["diff"]
    outputs.add("schema", command("schema") + command("schema", "--policies"))


async def objects(folder: Path) -> str:
    """The repr of all that holds secrets while a gateway runs."""
    config = load(folder / "routes.yaml", os.environ)
    world = World(control=NoControl(), stores=Stores(config.state))
    generation = Generation(1, config, world)
    services = make_services(consumers=config.callers, stores=world.stores, upstreams=generation.upstreams)
    call = make_exchange(
        headers=[(b"x-api-key", S["wrong-key"].encode())], query=QUERY, body=S["request-body"].encode()
    )
    held: list[object] = [
        config, config.consumers, config.providers, config.upstreams, config.server, config.telemetry,
        config.policies, config.callers, config.warnings, config.routes, world, services, generation,
        generation.upstreams, generation.router, [route.forward for route in generation.router.routes],
        world.stores, world.stores.bytes, world.stores.counters, world.state, call,
        ObserverSettings.read(config.telemetry.for_observer()),
    ]  # fmt: skip
    shown = "".join(f"{thing!r}{thing!s}\n" for thing in held) + fail(generation, call)
    await world.stores.close()
    return shown


def fail(generation: Generation, call: Exchange) -> str:
    """What is logged and answered where a bug's own message quotes the call."""
    said = io.StringIO()
    handlers = [logging.StreamHandler(said), logging.StreamHandler(said)]
    log = logging.getLogger("gateway.edge")
    proxy = Proxy(generation, Recorder(sink=lambda _: None))
    for handler, formatter in zip(handlers, (JsonFormatter(), TextFormatter()), strict=True):
        formatter.masking = Masking(generation.config.telemetry.mask.rules())
        handler.setFormatter(formatter)
        log.addHandler(handler)
    try:
        raise ValueError(f"odd call: GET /?{call.query} {call.headers!r}")
    except ValueError as error:
        answered = proxy.failed(call, error)
    finally:
        for handler in handlers:
            log.removeHandler(handler)
    assert "odd call: GET /?authToken=REDACTED" in said.getvalue()
    return f"{said.getvalue()}{answered.body!r}"


def private_key(folder: Path) -> str:
    """A line of the key that upstreams are shown, which is a canary as well."""
    return (folder / "secrets" / "own.key").read_text().splitlines()[2]


@pytest.fixture(scope="module")
def outputs() -> Iterator[Outputs]:
    outputs = Outputs()
    authority = trustme.CA()
    own = authority.issue_cert("gateway.example")
    files: Mapping[str, str | bytes] = {
        **FILES,
        "secrets/ca.pem": authority.cert_pem.bytes(),
        "secrets/own.pem": own.cert_chain_pems[0].bytes(),
        "secrets/own.key": own.private_key_pem.bytes(),
    }
    with pytest.MonkeyPatch.context() as patch, Receiver() as receiver, ScriptedOrigin(respond) as origin:
        for name, value in ENVIRON.items():
            patch.setenv(name, value)
        patch.setenv("GATEWAY_ADMIN_TOKEN", S["admin-token-rotated"])
        text = dedent(CONFIG).replace("ORIGIN", origin.url).replace("RECEIVER", receiver.endpoint)
        with gateway(text, LISTS, ENVIRON, files=files) as running:
            outputs.add("private key", private_key(running.folder))
            drive(running, outputs, text)
            describe(running.folder, outputs)
            outputs.add("objects", asyncio.run(objects(running.folder)))
            receiver.wait_for(lambda: len(receiver.spans) > 20)
        for line in running.lines:
            outputs.add(
                "access log" if line.startswith('{"time":"') and '"trace_id"' in line else "log", line
            )
        for exported in receiver.requests:
            outputs.add("export", exported.SerializeToString())
        outputs.add("origin", "\n".join(map(str, origin.seen)))
        outputs.add("collector", str(receiver.headers))
        yield outputs


SEARCHED = (
    "access log", "log", "export", "answers to callers", "admin port", "traces", "command line", "reloads",
    "check", "explain", "diff", "schema", "objects",
)  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SEARCHED)
def test_no_canary_is_found(outputs: Outputs, name: str) -> None:
    key = {"private key": outputs["private key"].strip()}
    assert len(outputs[name]) > 100, "something was said"
    assert found_in(outputs[name], {**SECRETS, **PERSONS, **key}) == []


@pytest.mark.timeout(120)
def test_the_canaries_were_there(outputs: Outputs) -> None:
    """What goes on to the upstream is no output: it shows that the search finds what is there."""
    passed_on = {name.partition(":")[0] for name in found_in(outputs["origin"], {**SECRETS, **PERSONS})}
    assert {
        "cookie", "x-session", "referer-token", "query-auth-token", "query-hash", "query-sign", "query-key",
        "query-token", "query-session-id", "query-encoded-name", "path-token", "request-body", "bearer",
        "upstream-key", "set-header", "health-key", "email", "email-in-path", "email-of-agent", "first-name",
        "nickname-in-path", "address", "phone", "birth-date", "player-name", "tag", "card", "card-in-path",
    } <= passed_on  # fmt: skip
    assert found_in(outputs["collector"], {"collector-key": S["collector-key"]})
    assert set(outputs) == {*SEARCHED, "origin", "collector", "private key"}


def test_each_form_is_found() -> None:
    secret = S["bearer"]
    for offset in range(3):
        assert found_in(b64encode(b"x" * offset + secret.encode() + b"tail"), {"it": secret})
    for shown in (secret, secret.encode().hex(), "".join(f"%{ord(char):02x}" for char in secret)):
        assert found_in(f"before {shown} behind", {"it": secret})
    assert not found_in("nothing", {"it": secret})


def test_what_was_called_is_still_told(outputs: Outputs) -> None:
    """Masking leaves what an operator looks for."""
    for wanted in (
        "page=2",
        "token=REDACTED",
        "email=MASKED",
        "/launch/REDACTED/MASKED",
        "/games/MASKED/MASKED",
    ):
        assert wanted in outputs["access log"], wanted
        assert wanted in outputs["export"], wanted
        assert wanted in outputs["traces"], wanted
    assert "/v1/MASKED/start/REDACTED" in outputs["export"]
    assert "t_a-g=MASKED" in outputs["access log"]
