from __future__ import annotations

import asyncio
import gzip
import socket
import zlib

import pytest

from gateway.errors import Sent, UpstreamError
from gateway.upstream.control import BODY_LIMIT, HttpxControlClient
from tests.upstream.origins import Visit, ok, origin


async def test_a_form_with_basic_credentials() -> None:
    bodies: list[bytes] = []

    async def take(visit: Visit) -> None:
        bodies.append(await visit.request())
        await visit.say(ok(b"{}", b"Cache-Control: max-age=60"))

    client = HttpxControlClient()
    async with origin(take) as place:
        answer = await client.request(
            "POST", place.url + "/token", form={"grant_type": "client_credentials"}, auth=("id", "secret")
        )
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, b"{}", "max-age=60")
    head = place.heads[0].lower()
    assert head.startswith(b"post /token http/1.1\r\n")
    assert b"\r\nauthorization: basic awq6c2vjcmv0\r\n" in head
    assert bodies == [b"grant_type=client_credentials"]
    await client.close()


@pytest.mark.attack(28)
async def test_it_keeps_no_cookies_follows_no_redirects_and_asks_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = HttpxControlClient()
    redirect = ok(b"", b"location: /other", b"set-cookie: a=b", status=b"302 Found")
    async with origin(redirect) as place:
        for _ in range(2):
            answer = await client.request("GET", place.url, headers={"x-a": "1"})
            assert answer.status == 302
        assert len(place.heads) == 2
        assert all(b"cookie" not in head.lower() and b"x-a: 1" in head.lower() for head in place.heads)
    await client.close()


async def test_a_deadline_over_the_whole_call() -> None:
    async def drip(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            await asyncio.sleep(0.01)
            await visit.say(b"x")

    client = HttpxControlClient()
    async with origin(drip) as place:
        with pytest.raises(UpstreamError) as caught:
            await client.request("GET", place.url, timeout=0.1)
    assert (caught.value.code, caught.value.sent) == ("UPSTREAM_TIMEOUT", Sent.UNKNOWN)
    await client.close()


async def test_an_answer_is_bounded() -> None:
    client = HttpxControlClient()
    async with origin(ok(b"x" * (BODY_LIMIT + 1))) as place:
        with pytest.raises(UpstreamError) as caught:
            await client.request("GET", place.url)
    assert caught.value.reason == "too_large"
    await client.close()


@pytest.mark.parametrize(
    ("body", "coding", "reason"),
    [
        (gzip.compress(b"{}"), b"gzip", ""),
        (gzip.compress(b"{}"), b"X-GZIP", ""),
        (zlib.compress(b"{}"), b"deflate", ""),
        (b"{}", b"identity", ""),
        (gzip.compress(b" " * BODY_LIMIT * 2), b"gzip", "too_large"),
        (gzip.compress(b"{}")[:-4], b"gzip", "invalid"),
        (b"{}", b"gzip", "invalid"),
        (gzip.compress(gzip.compress(b"{}")), b"gzip, gzip", "invalid"),
        (b"{}", b"br", "invalid"),
    ],
    ids=["gzip", "capitals", "deflate", "identity", "bomb", "half", "not packed", "twice", "unknown"],
)
async def test_what_is_packed_though_nobody_asked_for_it(body: bytes, coding: bytes, reason: str) -> None:
    client = HttpxControlClient()
    async with origin(ok(body, b"content-encoding: " + coding)) as place:
        if reason:
            with pytest.raises(UpstreamError) as caught:
                await client.request("GET", place.url)
            assert (caught.value.code, caught.value.reason) == ("UPSTREAM_INVALID", reason)
        else:
            assert (await client.request("GET", place.url)).body == b"{}"
        assert b"\r\naccept-encoding: identity\r\n" in place.heads[0].lower()
    await client.close()


async def test_errors_are_ours() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    client = HttpxControlClient()
    with pytest.raises(UpstreamError) as caught:
        await client.request("GET", url)
    assert (caught.value.code, caught.value.sent, caught.value.reason) == (
        "UPSTREAM_UNREACHABLE",
        Sent.NO,
        "refused",
    )
    async with origin(b"junk\r\n\r\n") as place:
        with pytest.raises(UpstreamError) as caught:
            await client.request("GET", place.url)
    assert caught.value.code == "UPSTREAM_INVALID"
    await client.close()
