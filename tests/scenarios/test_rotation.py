"""Secrets are rotated in their files under traffic: old and new are good for a while, and no call fails."""

from __future__ import annotations

import base64
import http.client
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import jwt

from tests.observer.support import Receiver
from tests.scenarios.running import Gateway, eventually, gateway
from tests.scenarios.scripted import Request, ScriptedOrigin, answer

OLD, NEW = (
    {
        "key": f"{age}-api-key",
        "password": f"{age}-password",
        "jwt": f"{age}-shared-secret-of-32-bytes-or-more",
        "upstream": f"{age}-upstream-token",
        "collector": f"{age}-collector-key",
        "admin": f"{age}-admin-token",
    }
    for age in ("old", "new")
)
NAMES = [name + slot for name in OLD for slot in ("", "-previous")]
CONFIG = """
    version: 1
    consumers:
      platform:
        credentials: [{{api_key: {{file: {at}/key}}}}, {{api_key: {{file: {at}/key-previous}}}}]
      partner:
        credentials:
          - {{basic: {{username: partner, password: {{file: {at}/password}}}}}}
          - {{basic: {{username: partner, password: {{file: {at}/password-previous}}}}}}
      studio:
        credentials:
          - {{jwt: {{subject: studio, key: {{file: {at}/jwt}}}}}}
          - {{jwt: {{subject: studio, key: {{file: {at}/jwt-previous}}}}}}
    upstreams:
      origin: {{targets: [{{url: "{origin}"}}]}}
    routes:
      - name: games
        match: {{methods: [GET], path: /games}}
        upstream: origin
        policies:
          - authentication: {{accept: [api_key, basic, jwt]}}
          - upstream_auth: {{bearer: {{file: {at}/upstream}}}}
    telemetry: {{traces: {{endpoint: "{receiver}", headers: {{x-collector-key: {{file: {at}/collector}}}}}}}}
    server:
      drain: {{delay: 0s, grace: 2s}}
      admin: {{token: {{file: {at}/admin}}, previous_token: {{file: {at}/admin-previous}}}}
"""


class Volume:
    """A folder of secrets as Kubernetes mounts it: links through `..data`, which is swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = itertools.count(1)
        folder.mkdir()
        for name in NAMES:
            (folder / name).symlink_to(f"..data/{name}")

    def publish(self, current: Mapping[str, str], previous: Mapping[str, str]) -> None:
        version = self.folder / f"..version-{next(self._versions)}"
        version.mkdir()
        for name in OLD:
            (version / name).write_text(current[name] + "\n")
            (version / f"{name}-previous").write_text(previous[name] + "\n")
        link = self.folder / "..next"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")


def by_key(secrets: Mapping[str, str]) -> dict[str, str]:
    return {"x-api-key": secrets["key"]}


def by_password(secrets: Mapping[str, str]) -> dict[str, str]:
    pair = base64.b64encode(f"partner:{secrets['password']}".encode()).decode()
    return {"authorization": f"Basic {pair}"}


def by_jwt(secrets: Mapping[str, str]) -> dict[str, str]:
    token = jwt.encode({"sub": "studio", "exp": int(time.time()) + 600}, secrets["jwt"], "HS256")
    return {"authorization": f"Bearer {token}"}


WAYS = (by_key, by_password, by_jwt)


class Caller:
    """Calls without a pause, on a connection it keeps, and notes what is not answered 200."""

    def __init__(self, port: int, shows: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
        self._port, self._shows = port, shows
        self.headers = shows(OLD)
        self.done = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def change_over(self) -> None:
        """Show the new credential; returns when the last call with the old one has ended."""
        self.headers = self._shows(NEW)
        done = self.done
        eventually(lambda: self.done > done + 1 or self.failures)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set() and not self.failures:
            try:
                connection.request("GET", "/games", headers=self.headers)
                told = connection.getresponse()
                body = told.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                break
            if told.status != 200:
                self.failures.append(f"{told.status} {body!r} after {self.done} calls")
            self.done += 1
        connection.close()


def status(running: Gateway, headers: Mapping[str, str]) -> int:
    return httpx.get(f"{running.url}/games", headers=headers, trust_env=False).status_code


def admin(running: Gateway, secrets: Mapping[str, str]) -> int:
    shown = {"authorization": f"Bearer {secrets['admin']}"}
    return running.ask("/api/status", headers=shown).status_code


def collectors_keys(receiver: Receiver) -> list[str]:
    return [headers["x-collector-key"] for headers in receiver.headers]


def test_every_secret_is_rotated_under_traffic_and_no_call_fails(tmp_path: Path) -> None:
    volume = Volume(tmp_path / "secrets")
    volume.publish(OLD, OLD)

    def answered(_request: Request) -> bytes:
        return answer(200)

    with Receiver() as receiver, ScriptedOrigin(answered) as origin:
        text = CONFIG.format(at=volume.folder, origin=origin.url, receiver=receiver.endpoint)
        with gateway(text, environ={"OTEL_BSP_SCHEDULE_DELAY": "100"}, workers=2) as running:
            callers = [Caller(running.port, shows) for shows in WAYS for _ in range(2)]
            with callers[0], callers[1], callers[2], callers[3], callers[4], callers[5]:
                eventually(lambda: all(caller.done for caller in callers))
                assert [status(running, shows(NEW)) for shows in WAYS] == [401, 401, 401]
                assert [admin(running, secrets) for secrets in (OLD, NEW)] == [200, 401]

                volume.publish(NEW, OLD)
                running.wait_for_line("generation 2 serves")
                assert [status(running, shows(OLD)) for shows in WAYS] == [200, 200, 200]
                assert [status(running, shows(NEW)) for shows in WAYS] == [200, 200, 200]
                assert [admin(running, secrets) for secrets in (OLD, NEW)] == [200, 200]
                before = [caller.done for caller in callers]
                for caller in callers:
                    caller.change_over()
                eventually(lambda: "new-collector-key" in collectors_keys(receiver))

                volume.publish(NEW, NEW)
                running.wait_for_line("generation 3 serves")
                assert [status(running, shows(OLD)) for shows in WAYS] == [401, 401, 401]
                assert [status(running, shows(NEW)) for shows in WAYS] == [200, 200, 200]
                assert [admin(running, secrets) for secrets in (OLD, NEW)] == [401, 200]
                now = [caller.done for caller in callers]
                eventually(lambda: all(c.done > n for c, n in zip(callers, now, strict=True)))
            assert [caller.failures for caller in callers] == [[]] * 6
            assert all(caller.done > count for caller, count in zip(callers, before, strict=True))
        shown = [request.headers["authorization"] for request in origin.seen]
        turn = shown.index("Bearer new-upstream-token")
        # Each worker swaps at its own moment, and calls under way end under what they began with.
        assert set(shown[:turn]) == {"Bearer old-upstream-token"}
        assert shown[-1] == "Bearer new-upstream-token"
        assert len(shown) == sum(caller.done for caller in callers) + 9
        keys = collectors_keys(receiver)
        assert keys == sorted(keys, reverse=True), "first old ones, then new ones"
        said = "\n".join(running.lines)
        for secret in (*OLD.values(), *NEW.values()):
            assert secret not in said


def test_a_file_written_in_place_is_never_taken_while_it_is_empty(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(OLD["admin"])
    text = f"""
        version: 1
        upstreams: {{nobody: {{targets: [{{url: "http://127.0.0.1:1"}}]}}}}
        routes: [{{name: games, match: {{methods: [GET], path: /games}}, upstream: nobody}}]
        server: {{drain: {{delay: 0s}}, admin: {{token: {{file: {token}}}}}}}
    """
    with gateway(text) as running:
        token.write_text("")
        running.wait_for_line("the admin token is empty")
        assert [admin(running, secrets) for secrets in (OLD, NEW)] == [200, 401]
        token.write_text(NEW["admin"])
        running.wait_for_line("generation 2 serves: server: admin.token is changed")
        assert [admin(running, secrets) for secrets in (OLD, NEW)] == [401, 200]
