"""Who may ask the admin port: tokens and their rotation, origins, bodies, and who is counted."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.requests import Request

from gateway import admin_gate
from gateway.admin_gate import BodyError, Gate, bearer, is_loopback, is_of_own_origin, is_one_of, read_body
from gateway.config.server import AdminConfig
from gateway.metrics import Metrics

HOST = ("host", "127.0.0.1:8081")


def request(
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/api/status",
    pieces: tuple[bytes, ...] = (b"",),
) -> Request:
    waiting = list(pieces)

    async def receive() -> dict[str, object]:
        if not waiting:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or len(pieces) > 9}

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b"",
             "client": ("203.0.113.9", 1)}  # fmt: skip
    return Request(scope, receive)


class Port:
    """A gate, and the configuration that serves, which may change."""

    def __init__(self, *, exposed: bool = True, **settings: object) -> None:
        self.settings = AdminConfig.model_validate(settings)
        self.metrics = Metrics()
        self.gate = Gate(lambda: self.settings, self.metrics, exposed=exposed, wrong_token_seconds=0)

    async def status(self, *headers: tuple[str, str], method: str = "GET", path: str = "/api/status") -> int:
        """What a request is refused with; 0 where it may come in."""
        refusal = await self.gate.refusal(request(*headers, method=method, path=path))
        return 0 if refusal is None else refusal.status_code

    def refused(self, reason: str) -> float:
        (found,) = [s for s in self.metrics.snapshot() if s[0] == "gateway_admin_refused_total"]
        return dict(found[4]).get((reason,), 0)  # type: ignore[return-value,arg-type]


def shows(token: str, scheme: str = "Bearer") -> tuple[str, str]:
    return "authorization", f"{scheme} {token}"


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("gateway.example", False)],
)  # fmt: skip
def test_which_addresses_nobody_outside_reaches(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_known_in_any_case(scheme: str) -> None:
    assert await Port(token="new").status(shows("new", scheme)) == 0


@pytest.mark.parametrize(
    "headers",
    [
        [], [("authorization", "new")], [("authorization", "Bearer")], [("authorization", "Bearer ")],
        [shows("ne")], [shows("neww")], [shows("new", "Basic")], [shows("n\xe9w")], [shows("new new")],
        [shows("new"), shows("new")], [("authorization", "Bearer\tnew")],
    ],
)  # fmt: skip
async def test_anything_but_the_token_is_refused(headers: list[tuple[str, str]]) -> None:
    port = Port(token="new")
    assert await port.status(*headers) == 401
    assert port.refused("token") + port.refused("no_token") == 1


async def test_two_tokens_are_taken_while_one_is_rotated() -> None:
    port = Port(token="old")
    assert await port.status(shows("old")) == 0
    port.settings = AdminConfig(token="new", previous_token="old")  # type: ignore[arg-type]
    assert [await port.status(shows(token)) for token in ("old", "new", "other")] == [0, 0, 401]
    port.settings = AdminConfig(token="new")  # type: ignore[arg-type]
    assert [await port.status(shows(token)) for token in ("old", "new")] == [401, 0]


async def test_an_exposed_port_without_a_token_lets_nobody_in() -> None:
    port = Port()
    assert await port.status(HOST) == await port.status(HOST, shows("")) == 401
    assert await port.status(HOST, path="/healthz") == 0
    assert await Port(exposed=False).status(HOST) == 0
    assert await Port(exposed=False).status(("host", "evil.example")) == 403


async def test_metrics_may_be_open_and_nothing_else_with_them() -> None:
    port = Port(token="new", open_metrics=True)
    assert await port.status(path="/metrics") == 0
    assert await port.status(path="/metrics/") == await port.status() == 401
    assert await Port(token="new").status(path="/metrics") == 401


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ([], True),
        ([("sec-fetch-site", "none")], True),
        ([("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8081")], True),
        ([("origin", "https://127.0.0.1:8081")], True),
        ([("sec-fetch-site", "same-site")], False),
        ([("sec-fetch-site", "cross-site")], False),
        ([("origin", "null")], False),
        ([("origin", "")], False),
        ([("origin", "http://127.0.0.1:8080")], False),
        ([("origin", "http://evil.example")], False),
        ([("origin", "http://127.0.0.1:8081"), ("sec-fetch-site", "cross-site")], False),
    ],
)
async def test_no_page_of_another_origin_changes_anything(headers: list[tuple[str, str]], own: bool) -> None:
    assert is_of_own_origin(request(HOST, *headers)) is own
    json = ("content-type", "application/json; charset=utf-8")
    port = Port(exposed=False)
    assert await port.status(HOST, json, *headers, method="POST") == (0 if own else 403)
    assert port.refused("origin") == (not own)
    assert await port.status(HOST, *headers) == 0, "reading changes nothing"


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"],
)
async def test_posts_must_say_json(kind: str) -> None:
    port = Port(exposed=False)
    assert await port.status(HOST, *([("content-type", kind)] if kind else []), method="POST") == 415
    assert port.refused("content_type") == 1


async def test_wrong_tokens_are_slowed_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    gate = Gate(lambda: AdminConfig(token="new"), metrics, exposed=True, wrong_token_seconds=0.05)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    with caplog.at_level(logging.WARNING):
        for shown, waits in (("canary", True), ("canary", True), ("new", False), ("", False)):
            began = loop.time()
            await gate.refusal(request(shows(shown)))
            assert (loop.time() - began > 0.04) is waits
    assert caplog.text.count("203.0.113.9 shows the admin port a wrong token") == 1
    assert "canary" not in caplog.text


def test_what_is_shown_and_compared() -> None:
    assert bearer(request(shows("a b"))) == b"a b"
    assert bearer(request(("authorization", "Bearer  a "))) == b"a"
    assert not is_one_of(b"", ())
    assert not is_one_of(b"", ("a",))
    assert is_one_of("ä".encode(), ("ä", "b"))


async def test_bodies_are_bounded_in_size_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await read_body(request(pieces=(b"{", b"}"))) == b"{}"
    with pytest.raises(BodyError) as large:
        await read_body(request(pieces=(b"x" * 10_000,) * 10))
    assert (large.value.status, large.value.reason) == (413, "too_large")
    monkeypatch.setattr(admin_gate, "BODY_SECONDS", 0.01)
    with pytest.raises(BodyError) as slow:
        await read_body(request(pieces=(b"x",) * 10))
    assert (slow.value.status, slow.value.reason) == (408, "slow")


async def test_a_caller_that_leaves_is_an_error_too() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    gone = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with pytest.raises(BodyError, match="not whole"):
        await read_body(gone)
