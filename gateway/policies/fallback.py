"""What is answered when the provider is down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.errors import Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Headers, Response
from gateway.mistakes import Mistake, suggest
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.problem import RETRY_AFTER_SECONDS
from gateway.units import Duration, format_duration

if TYPE_CHECKING:
    from gateway.services import Services

When = Literal["unreachable", "timeout", "invalid", "circuit_open", "server_error", "busy"]

_CODES: dict[str, str] = {
    "UPSTREAM_UNREACHABLE": "unreachable",
    "UPSTREAM_TIMEOUT": "timeout",
    "UPSTREAM_INVALID": "invalid",
}
_REFUSALS: dict[str, str] = {"CIRCUIT_OPEN": "circuit_open", "BUSY": "busy"}
"""The only refusals that are about the provider. All others are about the caller, and stand."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REPLAYABLE_BYTES = 64 * 1024
_MARK = b"x-gateway-fallback"


def _plain(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").isalnum():
            raise Mistake(f"{name!r} is not a header name", "use letters, digits and -")
        if name.lower() in (
            "connection",
            "content-length",
            "transfer-encoding",
            "upgrade",
            "keep-alive",
            "trailer",
        ):
            raise Mistake(f"{name} is written by the gateway itself", "leave it out")
        if any(not " " <= char <= "~" for char in value):
            raise Mistake(
                f"the value of {name} holds more than printable ASCII", "remove line breaks and the like"
            )
    return headers


class Respond(BaseModel):
    """A static answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    status: int = Field(default=200, ge=200, le=599)
    json_: Any = Field(default=None, alias="json")
    """The body as a JSON value."""
    text: str | None = None
    """The body as text."""
    headers: Annotated[dict[str, str], AfterValidator(_plain)] = {}
    """More headers of the answer."""

    @model_validator(mode="after")
    def _has_one_body(self) -> Respond:
        if self.text is not None and "json_" in self.model_fields_set:
            raise Mistake("json and text are both the body", "keep one of them")
        if self.status in (204, 205, 304) and (self.text or "json_" in self.model_fields_set):
            raise Mistake(f"an answer with status {self.status} has no body", "leave json and text out")
        return self

    def encode(self) -> tuple[Headers, bytes]:
        """Headers and body as they are sent."""
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        kind, body = b"", b""
        if "json_" in self.model_fields_set:
            kind, body = b"application/json", json.dumps(self.json_, ensure_ascii=False).encode()
        elif self.text is not None:
            kind, body = b"text/plain; charset=utf-8", self.text.encode()
        if kind and not any(name == b"content-type" for name, _ in headers):
            headers.insert(0, (b"content-type", kind))
        if self.status in (429, 503) and not any(name == b"retry-after" for name, _ in headers):
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        return headers, body


class FallbackConfig(PolicyConfig):
    """What is answered when the provider is down: a stale answer, another upstream's, or a static one."""

    name: ClassVar[str] = "fallback"
    forwards_again: ClassVar[bool] = True
    shadows_itself: ClassVar[bool] = True

    when: tuple[When, ...] = Field(
        default=("unreachable", "timeout", "invalid", "circuit_open", "server_error"), min_length=1
    )
    """Which failures count."""
    stale: Duration | None = Field(default=None, gt=0)
    """First choice: the answer a cache further in holds, if it went stale no longer ago than this."""
    upstream: str | None = None
    """Second choice: another upstream's answer to the same call; only if nothing can be applied twice."""
    respond: Respond | None = None
    """Last choice: this answer."""

    @model_validator(mode="after")
    def _has_an_answer(self) -> FallbackConfig:
        if self.stale is None and self.upstream is None and self.respond is None:
            raise Mistake(
                "fallback has nothing to fall back to",
                "say stale: 1d, upstream: NAME or respond: {status: 200, json: {}}",
            )
        return self

    def describe(self) -> str:
        choices = []
        if self.stale is not None:
            choices.append(f"with a cached answer up to {format_duration(self.stale)} stale")
        if self.upstream is not None:
            choices.append(f"from upstream {self.upstream}")
        if self.respond is not None:
            choices.append(f"with a static {self.respond.status}")
        return f"on {', '.join(self.when)} answers {', else '.join(choices)}"

    def build(self, services: Services) -> Policy:
        if self.upstream is not None and self.upstream not in services.upstreams:
            raise Mistake(
                f"no upstream is named {self.upstream!r}", suggest(self.upstream, services.upstreams)
            )
        if self.upstream is not None and self.upstream == services.route.upstream:
            raise Mistake(f"{self.upstream!r} is the route's own upstream", "name another one, or use retry")
        return _Fallback(self, services)

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return f"passes it on, and {self.describe()}"


class _Fallback:
    """Forwards once, and on a failure that counts looks for another answer, best first."""

    def __init__(self, config: FallbackConfig, services: Services) -> None:
        self.when = frozenset(config.when)
        self.shadow = config.mode == "shadow"
        self.stale_seconds = config.stale or 0.0
        self.upstream = services.upstreams[config.upstream] if config.upstream is not None else None
        self.static = (
            (config.respond.status, *config.respond.encode()) if config.respond is not None else None
        )
        self.route = services.route.name
        self.counter = services.metrics.counter(
            "gateway_fallback_total", "Calls answered by a fallback", ("route", "reason", "answer")
        )

    async def __call__(self, exchange: Exchange, forward: Forward) -> Response:
        if self.stale_seconds > exchange.stale_seconds and not self.shadow:
            exchange.stale_seconds = self.stale_seconds
        request = None
        if self.upstream is not None and not self.shadow:
            # Policies further in add their upstream's credentials and spend the body: the other
            # upstream gets the call as it was here.
            request = (exchange.target, list(exchange.headers), await exchange.buffer_body(_REPLAYABLE_BYTES))
        try:
            response = await forward(exchange)
        except UpstreamError as error:
            answer = await self.instead(exchange, _CODES[error.code], error.code, request, error.sent)
            if answer is None:
                raise
            return answer
        except Refused as refusal:
            reason = _REFUSALS.get(refusal.code, "")
            answer = await self.instead(exchange, reason, refusal.code, request, Sent.NO)
            if answer is None:
                raise
            return answer
        if response.kind != "temporary" or response.status < 500:
            return response
        try:
            answer = await self.instead(exchange, "server_error", str(response.status), request, Sent.YES)
        except BaseException:  # the caller left meanwhile
            response.discard()
            raise
        if answer is None:
            return response
        response.discard()
        return answer

    async def instead(
        self,
        exchange: Exchange,
        reason: str,
        detail: str,
        request: tuple[str, Headers, bytes | None] | None,
        sent: Sent,
    ) -> Response | None:
        """Another answer to a call that failed, or None where the failure stands."""
        if reason not in self.when:
            return None
        if self.shadow:
            exchange.decide("fallback", "would_answer", detail)
            return None
        answer, kind = exchange.stale if self.stale_seconds else None, "stale"
        if answer is None and request is not None:
            answer, kind = await self.other_upstream(exchange, request, sent), "upstream"
        if answer is None and self.static is not None:
            status, headers, body = self.static
            answer, kind = Response(status, list(headers), body), "static"
        if answer is None:
            return None
        if kind == "stale":
            exchange.cache_status = "stale"
        answer.set_header(_MARK, kind.encode())
        exchange.decide("fallback", kind, detail)
        exchange.attributes["gateway.fallback"] = kind
        exchange.attributes["gateway.fallback.reason"] = detail
        exchange.code, exchange.native = "", None
        self.counter.add((self.route, reason, kind))
        return answer

    async def other_upstream(
        self, exchange: Exchange, request: tuple[str, Headers, bytes | None], sent: Sent
    ) -> Response | None:
        """The other upstream's answer. A call that may have been applied is never given to a second one."""
        target, headers, body = request
        unsent = sent is Sent.NO and all(attempt.sent is Sent.NO for attempt in exchange.attempts)
        if self.upstream is None or body is None or not (unsent or exchange.method in _SAFE_METHODS):
            return None
        exchange.target, exchange.headers, exchange.body = target, headers, body
        exchange.admit_target = exchange.tls_identity = None
        try:
            response = await self.upstream(exchange)
        except (UpstreamError, Refused):  # BUSY: nothing is free there
            return None
        if response.kind == "temporary" and response.status >= 500:
            response.discard()
            return None
        return response
