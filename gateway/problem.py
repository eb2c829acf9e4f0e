"""The form every error is answered in: `application/problem+json` (RFC 9457), contract §9."""

from __future__ import annotations

import json
from math import ceil
from typing import Any

from gateway.errors import CODES, Native, Refused, Sent, UpstreamError
from gateway.exchange import Exchange, Response

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
RETRY_AFTER_SECONDS = 1
"""What 429 and 503 say where the refusal knows nothing better."""


def problem(
    exchange: Exchange,
    code: str,
    detail: str = "",
    *,
    retryable: bool,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    retry_after: float | None = None,
    provider: str = "",
    native: Native | None = None,
    status: int | None = None,
) -> Response:
    """An error as a `Response`. `retryable` promises that repeating cannot apply the call twice."""
    meaning = CODES[code]
    status = meaning.status if status is None else status
    body: dict[str, Any] = {
        "type": f"urn:provider-gateway:error:{code}",
        "title": meaning.title,
        "status": status,
        "detail": detail or meaning.title,
        "code": code,
        "retryable": retryable,
        "trace_id": exchange.trace_id,
    }
    if native is not None:
        if provider:
            body["provider"] = provider
        body["native"] = {"code": native.code, "message": native.message, "status": native.status}
    fields = [(b"content-type", b"application/problem+json"), *headers]
    if status == 401 and not any(name == b"www-authenticate" for name, _ in headers):
        # It is the provider who asks for more; yet RFC 9110 lets no 401 go without a challenge.
        fields.append((b"www-authenticate", b'Provider realm="%s"' % (provider or "gateway").encode()))
    if status == 405 and not any(name == b"allow" for name, _ in headers):
        taken = exchange.route.methods if exchange.route is not None else ()
        fields.append((b"allow", ", ".join(sorted(taken)).encode()))
    if retry_after is None and status in (429, 503):
        retry_after = RETRY_AFTER_SECONDS
    if retry_after is not None:
        fields.append((b"retry-after", b"%d" % max(1, ceil(retry_after))))
    exchange.code = code
    exchange.native = native
    response = Response(status, fields, json.dumps(body, ensure_ascii=False).encode())
    response.code = code
    response.kind = "temporary" if meaning.temporary else "final"
    return response


def problem_of(exchange: Exchange, error: BaseException) -> Response:
    """What the caller is told about an error that nothing in the chain answered."""
    if isinstance(error, Refused):
        return problem(
            exchange,
            error.code,
            error.detail,
            retryable=CODES[error.code].temporary,
            headers=error.headers,
            retry_after=error.retry_after,
            status=error.status,
        )
    if isinstance(error, UpstreamError):
        retryable = error.sent is Sent.NO or exchange.method in _SAFE_METHODS
        return problem(exchange, error.code, error.detail, retryable=retryable, headers=error.headers)
    return problem(exchange, "INTERNAL", retryable=exchange.method in _SAFE_METHODS)
