"""HTTP off the hot path, through httpx: tokens, JWKS, introspection, probes; nothing but what was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping

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
        fields = {"accept": "*/*", "user-agent": "provider-gateway", **(headers or {})}
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
                    body = await self._read(response)
                finally:
                    await response.aclose()
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

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > BODY_LIMIT:
                raise UpstreamError(
                    "UPSTREAM_INVALID", "The answer is larger than 4 MiB", sent=Sent.YES, reason="too_large"
                )
        return bytes(body)

    async def close(self) -> None:
        """Drop the connections."""
        await self._transport.aclose()
