"""One call on its way through: what came in, who sent it, where it goes, how it went.

Everything here is plain data with slots: an `Exchange` and a `Response` are made for every call, so
nothing is computed before somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import Native, Sent
from gateway.stream import Stream

if TYPE_CHECKING:
    import ssl

    from gateway.consumers import Consumer

Headers = list[tuple[bytes, bytes]]
"""(lower-case name, value) in the order received."""


class Outcome(StrEnum):
    """How an answer ended. Told once to every `Response.on_end` callback."""

    COMPLETE = "complete"  # the last byte was handed to the caller's connection
    CANCELLED = "cancelled"  # the caller left: neither success nor failure
    FAILED = "failed"  # the upstream broke off in the middle of the body
    DISCARDED = "discarded"  # a policy put another answer in its place


Body = bytes | Stream


class Tunnel(Protocol):
    """The upstream's half of an upgraded connection (WebSocket): bytes both ways, no more HTTP."""

    received: Stream
    """Bytes the upstream sends; reading them applies backpressure to it."""

    async def write(self, data: bytes) -> None:
        """Send bytes to the upstream; waits while its socket is full."""

    def close(self) -> None:
        """Drop the upstream connection. Idempotent."""


class Carrier(Protocol):
    """The connection an attempt is made on."""

    def abandon(self, attempt: Attempt) -> None:
        """Nobody waits for the answer any more. Does nothing where it came, or never will."""


class Attempt:
    """One try at one target. Times are `time.perf_counter_ns()`; 0 where the event did not happen."""

    __slots__ = (
        "carrier", "connected_ns", "ended_ns", "error", "head_ns", "request_bytes", "response_bytes",
        "reused", "sent", "span_id", "started_ns", "status", "target",
    )  # fmt: skip

    def __init__(self, target: str, span_id: str, started_ns: int) -> None:
        self.carrier: Carrier | None = None
        """Set as soon as there is one, where giving up is not its own affair."""
        self.target = target
        """The target's origin, `http://127.0.0.1:9201`."""
        self.span_id = span_id
        self.started_ns = started_ns
        self.connected_ns = 0
        """When a connection was in hand, new or from the pool."""
        self.head_ns = 0
        """When the head of the answer was complete."""
        self.ended_ns = 0
        self.status = 0
        self.error = ""
        """`UpstreamError.reason`, or empty."""
        self.sent = Sent.NO
        self.reused = False
        self.request_bytes = 0
        self.response_bytes = 0

    def __repr__(self) -> str:
        return f"<Attempt {self.target} {self.status or self.error or 'under way'}>"


class Exchange:
    """One call: the request, then everything that is found out about it."""

    __slots__ = (
        "admit_target", "attempts", "attributes", "authority", "body", "body_bytes", "cache_status",
        "client", "code", "consumer", "credential", "deadline", "decisions", "ended_ns", "generation",
        "headers", "http_version", "marks", "method", "native", "params", "parent_id", "path", "peer",
        "peer_certificate", "query", "received_ns", "route", "sampled", "scheme", "span_id", "stale",
        "stale_seconds", "target", "tls_identity", "trace_id", "tracestate", "upgrade",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - made for every call, which passes all of them by position
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Headers | None = None,
        body: Body = b"",
        scheme: str = "http",
        authority: str = "",
        http_version: str = "1.1",
        client: str = "127.0.0.1",
        peer: str = "127.0.0.1",
        received_ns: int = 0,
    ) -> None:
        # The request, as the edge found it.
        self.method = method
        self.path = path
        """The one canonical path, percent-encoded: matched, authorised, logged and forwarded."""
        self.query = query
        """The raw query without `?`."""
        self.headers: Headers = [] if headers is None else headers
        """End-to-end request headers; hop-by-hop ones and untrusted forwarding ones are gone."""
        self.body = body
        """All of it where it arrived with the head, else a `Stream`."""
        self.scheme = scheme
        self.authority = authority
        """The Host the caller asked for, lower-case, with its port where given."""
        self.http_version = http_version
        self.client = client
        """The true client address, canonical text."""
        self.peer = peer
        """The socket's other end: the client, or the proxy in front."""
        self.peer_certificate: bytes | None = None
        """DER of the client's certificate, where it gave one: here, or to a trusted proxy that tells it."""
        self.received_ns = received_ns
        self.upgrade = False
        """The caller asks for WebSocket."""
        # Tracing (W3C trace context).
        self.trace_id = ""
        self.span_id = ""
        """The SERVER span's."""
        self.parent_id = ""
        self.tracestate = ""
        self.sampled = True
        # What is found out on the way.
        self.route: Any = None
        """The `gateway.routing.Route` that won."""
        self.generation: Any = None
        """The configuration this call began with, and finishes under."""
        self.params: dict[str, str] | None = None
        """What `:name` and `*` of the route's path stood for."""
        self.consumer: Consumer | None = None
        self.credential = ""
        """How the consumer was recognised: api_key, jwt, ..."""
        self.target = ""
        """Path and query as forwarded, after the route's rewrite."""
        self.deadline: float | None = None
        """`loop.time()` after which nobody waits for the answer any more."""
        self.admit_target: Callable[[str], bool] | None = None
        """A per-target breaker's veto: balancing asks it before it picks a target."""
        self.tls_identity: ssl.SSLContext | None = None
        """TLS context with the client certificate `upstream_auth` wants shown, if any."""
        self.attempts: list[Attempt] = []
        self.marks: list[int] = []
        """`perf_counter_ns()` at the entrance of each policy, as entered: index, time, index, ..."""
        self.decisions: list[tuple[str, str, str]] = []
        """(policy, decision, detail): what a policy did that is worth a span."""
        self.attributes: dict[str, str | int | float | bool] = {}
        self.cache_status = ""
        """hit, stale, miss, revalidated, bypass; empty without a cache."""
        self.stale: Response | None = None
        """The stale answer a cache inside holds ready, where the call it forwarded may fail."""
        self.stale_seconds = 0.0
        """How long past its freshness a `fallback` outside still wants a cached answer."""
        self.code = ""
        """The canonical code of what went wrong; empty for success."""
        self.native: Native | None = None
        """A provider's own words about its error."""
        self.body_bytes = 0
        """Request body bytes received."""
        self.ended_ns = 0

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, `name` in lower case; None without one."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def header_values(self, name: bytes) -> list[bytes]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key == name]

    def drop_header(self, name: bytes) -> None:
        """Remove every occurrence of a header."""
        self.headers = [item for item in self.headers if item[0] != name]

    def set_header(self, name: bytes, value: bytes) -> None:
        """Leave exactly one occurrence of a header."""
        self.drop_header(name)
        self.headers.append((name, value))

    def decide(self, policy: str, decision: str, detail: str = "") -> None:
        """Record that a policy did something worth a span: refused, hit, retried, would_refuse."""
        self.decisions.append((policy, decision, detail))

    async def buffer_body(self, limit: int = 64 * 1024) -> bytes | None:
        """The whole request body if it has at most `limit` bytes, else None; nothing of it is lost."""
        if isinstance(self.body, Stream):
            stream = self.body
            data, complete = await stream.read_up_to(limit)
            if not complete:
                stream.unread(data)
                return None
            self.body = data
        return self.body if len(self.body) <= limit else None

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.path} from {self.client}, {len(self.attempts)} attempts>"


class Response:
    """An answer on its way back. Its head is complete; its body may still arrive."""

    __slots__ = ("_callbacks", "body", "code", "ended", "headers", "kind", "sent_bytes", "status", "tunnel")

    def __init__(self, status: int, headers: Headers | None = None, body: Body = b"") -> None:
        self.status = status
        self.headers: Headers = [] if headers is None else headers
        """End-to-end headers, framing ones (`content-length`, `transfer-encoding`) excepted for bytes bodies:
        the edge frames what it writes. A `content-length` of a streamed body is kept."""
        self.body = body
        self.tunnel: Tunnel | None = None
        """Set with status 101 only."""
        self.kind = "" if status < 400 else "final" if status < 500 else "temporary"
        """ok | business | temporary | final, as `error_codes` found; empty for an unclassified success."""
        self.code = ""
        """Canonical code, where `error_codes` found one."""
        self.sent_bytes = 0
        """Body bytes that went to the caller, as who writes the answer counts them."""
        self.ended: Outcome | None = None
        self._callbacks: list[Callable[[Outcome], None]] | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, `name` in lower case; None without one."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def set_header(self, name: bytes, value: bytes) -> None:
        """Leave exactly one occurrence of a header."""
        self.headers = [item for item in self.headers if item[0] != name]
        self.headers.append((name, value))

    def on_end(self, callback: Callable[[Outcome], None]) -> None:
        """Call `callback` once, at the last byte or the abort; at once where that already happened."""
        if self.ended is not None:
            callback(self.ended)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def finish(self, outcome: Outcome) -> None:
        """End the answer, innermost callback first. Idempotent: the first outcome stands."""
        if self.ended is not None:
            return
        self.ended = outcome
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(outcome)

    def discard(self) -> None:
        """Give this answer up for another one: its connection is freed, its end is told."""
        if isinstance(self.body, Stream):
            self.body.close()
        if self.tunnel is not None:
            self.tunnel.close()
        self.finish(Outcome.DISCARDED)

    async def buffer_body(self, limit: int = 64 * 1024) -> bytes | None:
        """The whole body if it has at most `limit` bytes, else None; nothing is lost.

        An answer whose body breaks off, or whose reader is cancelled, ends here: it has no other owner.
        """
        if isinstance(self.body, Stream):
            stream = self.body
            try:
                data, complete = await stream.read_up_to(limit)
            except BaseException as error:
                stream.close()
                self.finish(Outcome.FAILED if isinstance(error, Exception) else Outcome.CANCELLED)
                raise
            if not complete:
                stream.unread(data)
                return None
            self.body = data
        return self.body if len(self.body) <= limit else None

    def __repr__(self) -> str:
        size = f"{len(self.body)} bytes" if isinstance(self.body, bytes) else "a stream"
        return f"<Response {self.status} {self.kind or 'ok'}, body {size}>"
