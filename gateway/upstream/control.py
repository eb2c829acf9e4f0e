"""HTTP off the hot path, through httpx: tokens, JWKS, introspection, probes; nothing but what was asked."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterable, Mapping

import httpx

from gateway.control import Answer
from gateway.errors import Sent, UpstreamError
from gateway.upstream.faults import translate

BODY_LIMIT = 4 * 1024 * 1024


class HttpxControlClient:
    """`gateway.services.ControlClient` on httpx.

    Follows no redirects, reads no proxy from the environment, keeps no cookies, and reads at most
    4 MiB of an answer. One deadline holds over the whole call.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, server_name: str | None = None) -> None:
        verify = True if context is None else context
        self._transport = httpx.AsyncHTTPTransport(
            verify=verify,
            trust_env=False,
            retries=0,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=5.0),
        )
        self._extensions = {"sni_hostname": server_name} if server_name else {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 5.0,
    ) -> Answer:
        """One call, `timeout` in seconds from start to last byte. UpstreamError where no answer came."""
        fields = {
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "provider-gateway",
            **(headers or {}),
        }
        request = httpx.Request(
            method,
            url,
            headers=fields,
            data=form,
            content=content,
            extensions={
                **self._extensions,
                "timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout),
            },
        )
        if auth is not None:
            request = next(httpx.BasicAuth(*auth).auth_flow(request))
        try:
            async with asyncio.timeout(timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    assert isinstance(response.stream, AsyncIterable)
                    packed = await self._read(response.stream)
                finally:
                    await response.aclose()
                body = _unpacked(packed, response.headers.get("content-encoding", ""))
        except TimeoutError:
            raise UpstreamError(
                "UPSTREAM_TIMEOUT",
                f"No answer within {timeout:g} seconds",
                sent=Sent.UNKNOWN,
                reason="timeout",
            ) from None
        except httpx.HTTPError as error:
            raise translate(error) from error
        return Answer(response.status_code, response.headers, body)

    async def _read(self, stream: AsyncIterable[bytes]) -> bytes:
        """What was sent, as it is: httpx would unpack whatever a piece holds, and ask for the size later."""
        body = bytearray()
        async for piece in stream:
            body += piece
            if len(body) > BODY_LIMIT:
                raise _too_large()
        return bytes(body)

    async def close(self) -> None:
        """Drop the connections."""
        await self._transport.aclose()


def _too_large() -> UpstreamError:
    return UpstreamError(
        "UPSTREAM_INVALID", "The answer is larger than 4 MiB", sent=Sent.YES, reason="too_large"
    )


def _unpacked(body: bytes, coding: str) -> bytes:
    """A body without its content coding, which we never ask for. gzip and deflate are told by their form."""
    if coding.lower() in ("", "identity"):
        return body
    unpacker = zlib.decompressobj(wbits=47)
    try:
        known = coding.lower() in ("gzip", "x-gzip", "deflate")
        body = unpacker.decompress(body, BODY_LIMIT + 1) if known else b""
    except zlib.error:
        known = False
    if len(body) > BODY_LIMIT:
        raise _too_large()
    if not known or not unpacker.eof:
        raise UpstreamError(
            "UPSTREAM_INVALID", "The answer is packed in no way known", sent=Sent.YES, reason="invalid"
        )
    return body
