"""The admin port: health, readiness, metrics and the API of the command line, as a Starlette application.

Loopback by default; on any other address every call needs the bearer token. State changes by POST only, only
with a JSON content type, which no cross-site form can send, and never for a page of another origin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway import __version__
from gateway.admin_gate import WRONG_TOKEN_SECONDS, BodyError, Gate, problem, read_body
from gateway.auditing import AuditError
from gateway.channel import ChannelClosed, RemoteError
from gateway.config import Config
from gateway.metrics import render
from gateway.mistakes import suggest
from gateway.observer.masking import Masking
from gateway.policies.cache import CacheConfig
from gateway.supervisor import Supervisor

Endpoint = Callable[[Request], Awaitable[Response]]
TEXT_LIMIT = 500
"""Characters of what was asked that the audit log keeps."""
_DRESS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers of every answer."""


def not_purgeable(config: Config, route: str | None = None, tag: str | None = None) -> str:
    """Why no cache goes by that route or tag, and which may be meant; empty where one does."""
    caches = {
        name: policy.config
        for name, policies in config.policies.items()
        for policy in policies
        if isinstance(policy.config, CacheConfig) and policy.config.mode != "off"
    }
    if route is not None:
        if route in caches:
            return ""
        if route in config.policies:
            return f"route {route!r} has no cache"
        return f"no route with a cache is called {route!r}; {suggest(route, list(caches))}"
    tags = {name for cache in caches.values() for name in cache.tags}
    return "" if tag in tags else f"no cache bears the tag {tag!r}; {suggest(str(tag), list(tags))}"


class Admin:
    """The endpoints, over one supervisor. `exposed`: others than this machine reach the port."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        exposed: bool = False,
        wrong_token_seconds: float = WRONG_TOKEN_SECONDS,
    ) -> None:
        self.supervisor = supervisor
        self.gate = Gate(
            lambda: supervisor.config.server.admin,
            supervisor.metrics,
            exposed=exposed,
            wrong_token_seconds=wrong_token_seconds,
        )

    def app(self) -> Starlette:
        """The application to serve."""
        routes = [
            ("/healthz", self.healthz, ["GET"]),
            ("/readyz", self.readyz, ["GET"]),
            ("/metrics", self.metrics, ["GET"]),
            ("/api/status", self.status, ["GET"]),
            ("/api/traces", self.traces, ["GET"]),
            ("/api/traces/{id}", self.trace, ["GET"]),
            ("/api/reload", self.reload, ["POST"]),
            ("/api/cache/purge", self.purge, ["POST"]),
        ]
        app = Starlette(
            routes=[Route(path, self._guard(endpoint), methods=verbs) for path, endpoint, verbs in routes],
            exception_handlers={HTTPException: self._no_endpoint},
        )
        app.router.redirect_slashes = False
        return app

    def _guard(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            response = await self.gate.refusal(request)
            if response is None:
                try:
                    request.state.body = await read_body(request) if request.method == "POST" else b""
                    response = await self._recorded(request) or await endpoint(request)
                except BodyError as error:
                    response = await self._refused(
                        request, self.gate.refuse(error.reason, error.status, error.detail)
                    )
            else:
                response = await self._refused(request, response)
            response.headers.update(_DRESS)
            return response

        return guarded

    async def _recorded(self, request: Request) -> Response | None:
        """What changes something comes into the audit log first; what cannot come there is refused."""
        if request.method != "POST":
            return None
        try:
            await self.supervisor.auditing.note("admin", "asked", **_asked(request))
        except AuditError as error:
            return problem(503, str(error))
        return None

    async def _refused(self, request: Request, response: Response) -> Response:
        """A refusal is told once it is recorded."""
        try:
            asked = _asked(request)
            await self.supervisor.auditing.note("admin", "refused", **asked, status=response.status_code)
        except AuditError as error:
            return problem(503, str(error))
        return response

    async def _no_endpoint(self, request: Request, error: Exception) -> Response:
        """What there is not is told only to those who may ask."""
        assert isinstance(error, HTTPException)
        response = await self.gate.refusal(request)
        if response is None:
            response = problem(error.status_code, error.detail, dict(error.headers or {}))
        else:
            response = await self._refused(request, response)
        response.headers.update(_DRESS)
        return response

    async def healthz(self, _request: Request) -> Response:
        """The process lives."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        """Calls are welcome: every worker serves and no drain has begun."""
        if self.supervisor.ready:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("draining\n" if self.supervisor.draining else "starting\n", 503)

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text format."""
        text = render(await self.supervisor.samples())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, _request: Request) -> Response:
        """Generation, workers, upstreams, what went wrong at the last reload."""
        gateway = self.supervisor
        workers = []
        for worker in gateway.workers.values():
            try:
                workers.append(await worker.channel.request("status", timeout=5))
            except (ChannelClosed, RemoteError, TimeoutError) as error:
                workers.append({"pid": worker.process.pid, "error": str(error)})
        return JSONResponse({
            "version": __version__,
            "generation": gateway.generation,
            "ready": gateway.ready,
            "draining": gateway.draining,
            "config": str(gateway.path),
            "fingerprint": gateway.config.fingerprint,
            "last_reload_error": gateway.last_reload_error,
            "uptime_seconds": round(time.time() - gateway.started_unix, 3),
            "workers": workers,
            "observer": {"pid": gateway.observer.pid if gateway.observer is not None else 0},
        })  # fmt: skip

    async def traces(self, request: Request) -> Response:
        """The traces kept, newest first: `?errors=1&slow=1&route=NAME&limit=20`."""
        query = request.query_params
        limit = query.get("limit", "")
        return await self._ask(
            "traces",
            errors="errors" in query,
            slow="slow" in query,
            route=query.get("route") or None,
            limit=int(limit) if limit.isdecimal() and len(limit) < 10 else 20,
        )

    async def trace(self, request: Request) -> Response:
        """One trace by its id or the beginning of it."""
        return await self._ask("trace", id=request.path_params["id"])

    async def _ask(self, op: str, **payload: Any) -> Response:
        assert self.supervisor.observer is not None
        try:
            answer = await self.supervisor.observer.ask(op, **payload)
        except (OSError, TimeoutError, EOFError) as error:
            return problem(
                503, f"the observer does not answer ({type(error).__name__}); calls are not affected"
            )
        return JSONResponse(
            answer, 404 if answer is None or (isinstance(answer, dict) and "error" in answer) else 200
        )

    async def reload(self, _request: Request) -> Response:
        """Load the configuration now."""
        changes = await self.supervisor.reload("admin port")
        error = self.supervisor.last_reload_error
        body = {"generation": self.supervisor.generation, "changes": changes, "error": error}
        return JSONResponse(body, 422 if error else 200)

    async def purge(self, request: Request) -> Response:
        """Forget cached answers: `{"route": NAME}` or `{"tag": NAME}`."""
        try:
            body = json.loads(request.state.body)
        except (ValueError, RecursionError):
            body = None
        if (
            not isinstance(body, dict)
            or len(body) != 1
            or not {"route", "tag"} >= body.keys()
            or not all(isinstance(name, str) for name in body.values())
        ):
            return problem(400, 'say {"route": "NAME"} or {"tag": "NAME"}')
        counts = await self.supervisor.tell("purge", body)
        told = {"purged": sum(count for count in counts if isinstance(count, int))}
        # Answers outlive the configuration they were kept under: only what forgot nothing can be a mistake.
        if not told["purged"] and (error := not_purgeable(self.supervisor.config, **body)):
            return JSONResponse({**told, "error": error}, 404)
        return JSONResponse(told)


def _asked(request: Request) -> dict[str, str]:
    """What the audit log keeps of a request to the admin port."""
    client = request.client.host if request.client is not None else ""
    path = Masking().path(request.scope["path"][:TEXT_LIMIT])
    told = {"client": client, "method": request.method, "path": path}
    try:
        said = json.loads(request.state.body)
    except (AttributeError, ValueError, RecursionError):
        return told
    if isinstance(said, dict):  # what nobody needs to say here may be a secret
        told |= {name: str(said[name])[:TEXT_LIMIT] for name in ("route", "tag") if name in said}
    return told
