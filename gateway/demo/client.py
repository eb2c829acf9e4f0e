"""The tour's calls: what is sent and what comes back, shown as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from gateway.demo.screen import Screen
from gateway.demo.stage import PLATFORM_KEY, Addresses


class DifferenceError(Exception):
    """Something did not go as told."""


LATER = frozenset({429, 502, 503, 504})
"""Statuses that may be another one a moment later."""


def must(truth: bool, otherwise: str) -> None:
    """`DifferenceError` with `otherwise` where something is not so."""
    if not truth:
        raise DifferenceError(otherwise)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Parsed where it was JSON, text otherwise."""
    milliseconds: float

    def said(self, name: str) -> Any:
        """A member of the body; None where there is none, or no JSON object."""
        return self.body.get(name) if isinstance(self.body, dict) else None

    def must(self, status: int, /, **body: Any) -> Answer:
        """Itself, or `DifferenceError`: the status and these members of the body were told."""
        if self.status != status:
            raise DifferenceError(f"status {status} was told, {self.status} came: {self.body}")
        for name, wanted in body.items():
            got = self.said(name)
            if got != wanted:
                raise DifferenceError(f"{name} {wanted!r} was told, {got!r} came: {self.body}")
        return self

    def must_say(self, header: str, part: str = "") -> Answer:
        """Itself, or `DifferenceError`: a header was told, with these words in it."""
        value = self.headers.get(header)
        if value is None or part not in value:
            wanted = f"{header} with {part!r}" if part else header
            raise DifferenceError(f"header {wanted} was told, {value!r} came")
        return self


class Caller:
    """Speaks to the gateway as the platform does, and to the sandboxes' control endpoints."""

    def __init__(self, at: Addresses, screen: Screen) -> None:
        self.at = at
        self.screen = screen
        self._client = httpx.Client(trust_env=False, timeout=15)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def call(
        self, method: str, path: str, body: Any = None, *, key: str = PLATFORM_KEY, quiet: bool = False
    ) -> Answer:
        """A call through the gateway with the platform's key, or another."""
        if not quiet:
            self.screen.request(method, path, body, {"x-api-key": key})
        answer = self._send(method, f"{self.at.gateway}{path}", body, {"x-api-key": key})
        if not quiet:
            self.screen.answer(answer.status, answer.headers, answer.body, answer.milliseconds)
        return answer

    def control(self, method: str, url: str, body: Any = None) -> Any:
        """A call beside the gateway, to a sandbox or the admin port; not shown. JSON in and out."""
        answer = self._send(method, url, body, {})
        if answer.status >= 400:
            raise DifferenceError(f"{method} {url} answers {answer.status}: {answer.body}")
        return answer.body

    def fault(self, provider: str, **fault: Any) -> None:
        """Order a provider to misbehave; without a fault, to behave."""
        where = f"{getattr(self.at, provider)}/_sandbox/faults"
        self.control("POST" if fault else "DELETE", where, fault or None)
        told = ", ".join(f"{name} {value}" for name, value in fault.items()) or "all well again"
        self.screen.note(f"{provider} is told: {told}")

    def callback(self, provider: str, **call: Any) -> Answer:
        """Order a provider to call the wallet through the gateway; shows what it sent and what it got."""
        told = self.control("POST", f"{getattr(self.at, provider)}/_sandbox/callback", call)
        sent = told["request"]
        path = sent["url"].removeprefix(self.at.gateway)
        keys = {name: value for name, value in sent["headers"].items() if name != "content-type"}
        self.screen.request("POST", path, sent["body"], keys, who=provider)
        headers = {name.lower(): value for name, value in told["headers"].items()}
        answer = Answer(told["status"], headers, told["body"], 0)
        self.screen.answer(answer.status, answer.headers, answer.body)
        return answer

    def balance(self, player: str) -> int:
        """What the platform's wallet holds, minor units; asked beside the gateway."""
        balance: int = self.control("GET", f"{self.at.platform}/wallet/players/{player}")["balance"]
        return balance

    def arrived(self, provider: str) -> int:
        """Calls that have reached a provider, health probes excepted."""
        by_path = self.control("GET", f"{getattr(self.at, provider)}/_sandbox/calls")["by_path"]
        return sum(count for path, count in by_path.items() if path not in {"GET /health", "GET /ping"})

    def trace(self, trace_id: str, seconds: float = 5) -> dict[str, Any]:
        """A trace, once the observer has it: recording holds no call up, so it may be a moment late."""
        ends = time.monotonic() + seconds
        while True:
            try:
                trace: dict[str, Any] = self.control("GET", f"{self.at.admin}/api/traces/{trace_id}")
            except DifferenceError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.1)
            else:
                return trace

    @contextmanager
    def table(self, path: str) -> Iterator[ClientConnection]:
        """A WebSocket through the gateway."""
        self.screen.request("GET", path, None, {"upgrade": "websocket", "x-api-key": PLATFORM_KEY})
        began = time.perf_counter()
        url = self.at.gateway.replace("http", "ws", 1) + path
        try:
            seat = connect(url, additional_headers={"x-api-key": PLATFORM_KEY}, proxy=None, open_timeout=10)
        except InvalidStatus as refusal:
            raise DifferenceError(
                f"status 101 was told, {refusal.response.status_code} came: {refusal.response.body!r}"
            ) from None
        with seat:
            self.screen.answer(101, {}, None, (time.perf_counter() - began) * 1000)
            yield seat

    def events(self, path: str, count: int) -> list[str]:
        """The data of the first server-sent events, as they arrive."""
        self.screen.request("GET", path, None, {"accept": "text/event-stream", "x-api-key": PLATFORM_KEY})
        began = time.perf_counter()
        headers = {"x-api-key": PLATFORM_KEY, "accept": "text/event-stream"}
        data: list[str] = []
        with self._client.stream("GET", f"{self.at.gateway}{path}", headers=headers) as answer:
            self.screen.answer(
                answer.status_code, dict(answer.headers), None, (time.perf_counter() - began) * 1000
            )
            if answer.status_code != 200:
                raise DifferenceError(f"status 200 was told, {answer.status_code} came: {answer.read()!r}")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    data.append(line.removeprefix("data: "))
                    self.screen.piece(line)
                if len(data) == count:
                    break
        return data

    def _send(self, method: str, url: str, body: Any, headers: dict[str, str]) -> Answer:
        began = time.perf_counter()
        try:
            answer = self._client.request(method, url, json=body, headers=headers)
        except httpx.TransportError as error:
            raise DifferenceError(f"{method} {url} got no answer: {type(error).__name__} {error}") from None
        milliseconds = (time.perf_counter() - began) * 1000
        try:
            told = json.loads(answer.content)
        except ValueError:
            told = answer.text
        return Answer(answer.status_code, dict(answer.headers), told, milliseconds)


def until(status: int, ask: Callable[[], Answer], seconds: float = 10) -> Answer:
    """Ask again as long as the answer says that it may be another one later; then it must be this status."""
    ends = time.monotonic() + seconds
    while (answer := ask()).status in LATER and time.monotonic() < ends:
        time.sleep(0.1)
    return answer.must(status)
