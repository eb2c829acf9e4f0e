"""Who may ask the admin port, and what may come in there: decided before any endpoint is entered."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Callable
from hashlib import blake2b

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.config.server import AdminConfig
from gateway.metrics import Metrics

log = logging.getLogger("gateway.admin")

BODY_LIMIT = 64 * 1024
"""Bytes of a request; what is asked for here takes some dozens."""
BODY_SECONDS = 10.0
"""How long a request may take to arrive."""
WRONG_TOKEN_SECONDS = 0.2
"""How long whoever shows a wrong token waits to hear so."""
WARNING_SECONDS = 60.0
"""Between two lines in the log about wrong tokens."""
_OPEN = frozenset({"/healthz", "/readyz"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD"})


class BodyError(Exception):
    """A request's body is not what anybody needs to say here."""

    def __init__(self, reason: str, status: int, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.status, self.detail = reason, status, detail


class Gate:
    """Lets in by the tokens of the configuration that serves; counts whom it refuses.

    `exposed`: others than this machine reach the port, so that without a token nobody may ask anything.
    """

    def __init__(
        self,
        settings: Callable[[], AdminConfig],
        metrics: Metrics,
        *,
        exposed: bool = False,
        wrong_token_seconds: float = WRONG_TOKEN_SECONDS,
    ) -> None:
        self._settings = settings
        self._exposed = exposed
        self._wrong_token_seconds = wrong_token_seconds
        self._warned = float("-inf")
        self._refused = metrics.counter(
            "gateway_admin_refused_total", "Requests to the admin port that were refused", ("reason",)
        )

    async def refusal(self, request: Request) -> Response | None:
        """What a request is answered that may not come in; None for one that may."""
        path, settings = (
            request.scope["path"],
            self._settings(),
        )  # `request.url` is made of the Host header, too
        if path in _OPEN or (path == "/metrics" and settings.open_metrics):
            return None
        tokens = settings.tokens
        if tokens or self._exposed:
            shown = bearer(request)
            if not is_one_of(shown, tokens):
                if shown:
                    await self._wrong_token(request)
                told = "a bearer token is needed: the one of server.admin.token"
                return self.refuse(
                    "token" if shown else "no_token", 401, told, {"www-authenticate": "Bearer"}
                )
        elif _host_name(request.headers.get("host", "")) not in _LOCAL_NAMES:  # DNS rebinding
            return self.refuse("host", 403, "without a token the admin port answers to localhost only")
        if request.method in _SAFE:
            return None
        if not is_of_own_origin(request):
            return self.refuse("origin", 403, "pages of another origin may not change anything here")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and kind != "application/json":
            return self.refuse("content_type", 415, "say content-type: application/json")
        return None

    async def _wrong_token(self, request: Request) -> None:
        now = time.monotonic()
        if now - self._warned >= WARNING_SECONDS:
            self._warned = now
            peer = request.client.host if request.client is not None else "an unknown address"
            log.warning("somebody at %s shows the admin port a wrong token", peer)
        await asyncio.sleep(self._wrong_token_seconds)

    def refuse(
        self, reason: str, status: int, detail: str, headers: dict[str, str] | None = None
    ) -> Response:
        """A refusal, counted."""
        self._refused.add((reason,))
        return problem(status, detail, headers)


def is_loopback(host: str) -> bool:
    """Whether nobody from outside this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def bearer(request: Request) -> bytes:
    """The token a request shows (RFC 6750 §2.1, the scheme in any case); empty without one, or with two."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return token.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""


def is_one_of(shown: bytes, tokens: tuple[str, ...]) -> bool:
    """In a time that tells neither which one it is, nor how much of it is right, nor how long they are."""
    digest = blake2b(shown).digest()
    right = [hmac.compare_digest(digest, blake2b(token.encode()).digest()) for token in tokens]
    return any(right)


def is_of_own_origin(request: Request) -> bool:
    """Did no browser send this for a page of another origin (Fetch Metadata; RFC 6454 §7)?

    Whatever is no browser sends neither header.
    """
    if request.headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        return False
    origin = request.headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == request.headers.get("host", "").lower()


async def read_body(request: Request) -> bytes:
    """All of it. `BodyError` above `BODY_LIMIT`, and for what takes longer than `BODY_SECONDS`."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_LIMIT:
                    raise BodyError("too_large", 413, f"a request may have {BODY_LIMIT} bytes here")
    except TimeoutError:
        raise BodyError("slow", 408, "the request did not arrive in time") from None
    except ClientDisconnect:
        raise BodyError("left", 400, "the request is not whole") from None
    return bytes(body)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error in the form of RFC 9457."""
    body = {"type": "about:blank", "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _host_name(authority: str) -> str:
    """A Host header without its port."""
    name, _, port = authority.lower().rpartition(":")
    return name if port.isdecimal() else authority.lower()
