from __future__ import annotations

import ssl

import pytest

from gateway.errors import Sent, UpstreamError
from gateway.exchange import Attempt
from gateway.upstream.http1 import Http1Sender
from gateway.upstream.settings import TlsConfig, UpstreamConfig
from gateway.upstream.tls import make_context
from tests.upstream.origins import call, ok, origin


def make(url: str, context: ssl.SSLContext | None = None) -> Http1Sender:
    config = UpstreamConfig.model_validate({"targets": [{"url": url}], "timeout": {"connect": "1s"}})
    return Http1Sender(config.targets[0], config, context)


async def test_it_notes_what_happened() -> None:
    async with origin(ok()) as place:
        sender = make(place.url)
        attempt = Attempt(place.url, "0" * 16, 1)
        assert (await sender.send(call("POST", body=b"bet"), attempt)).status == 200
        assert (attempt.sent, attempt.status, attempt.request_bytes) == (Sent.YES, 200, 3)
        assert (sender.idle, sender.active, sender.waiting) == (1, 0, 0)
        await sender.close()
        assert sender.idle == 0


async def test_each_tls_identity_has_its_own_pool_and_empty_ones_go() -> None:
    sender = make("https://127.0.0.1:9", make_context(TlsConfig()))
    for _ in range(5):  # as many reloads, each with a context of its own
        exchange = call()
        exchange.tls_identity = make_context(TlsConfig())
        with pytest.raises(UpstreamError):
            await sender.send(exchange, Attempt("", "0" * 16, 0))
        assert len(sender.pools) == 2
        with pytest.raises(UpstreamError):
            await sender.send(exchange, Attempt("", "0" * 16, 0))
    await sender.close()


async def test_an_identity_is_nothing_to_a_plain_target() -> None:
    async with origin(ok()) as place:
        sender = make(place.url)
        exchange = call()
        exchange.tls_identity = make_context(TlsConfig())
        await sender.send(exchange, Attempt("", "0" * 16, 0))
        assert len(sender.pools) == 1
        await sender.close()
