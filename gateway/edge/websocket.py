"""An upgraded connection: bytes pass both ways, untouched, until either end closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.edge.writer import Sink
    from gateway.exchange import Response, Tunnel
    from gateway.stream import Stream


async def relay(sink: Sink, incoming: Stream, tunnel: Tunnel, response: Response) -> None:
    """Relay between a caller (`incoming`, `sink`) and the upstream's half, each at the reader's pace."""
    upwards = asyncio.ensure_future(_upwards(incoming, tunnel))
    downwards = asyncio.ensure_future(_downwards(sink, tunnel, response))
    try:
        await asyncio.wait((upwards, downwards), return_when=asyncio.FIRST_COMPLETED)
    finally:
        upwards.cancel()
        downwards.cancel()
        await asyncio.gather(
            upwards, downwards, return_exceptions=True
        )  # a broken half is an end like any other
        tunnel.close()


async def _upwards(incoming: Stream, tunnel: Tunnel) -> None:
    while data := await incoming.read():
        await tunnel.write(data)


async def _downwards(sink: Sink, tunnel: Tunnel, response: Response) -> None:
    while data := await tunnel.received.read():
        response.sent_bytes += len(data)
        sink.transport.write(data)
        await sink.drain()
