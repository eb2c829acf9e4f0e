"""A live table: a wheel that is spun again and again, told over WebSocket or server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

TABLES = ("roulette-1", "roulette-2", "blackjack-1")
PAUSE_SECONDS = 0.1
"""Between two rounds: real wheels take a minute."""


def spin(table: str, number: int) -> dict[str, Any]:
    """Round `number` of a table; the same for everybody who watches."""
    return {"event": "round", "table": table, "round": number, "result": (number * 17 + len(table)) % 37}


async def play(websocket: WebSocket) -> None:
    """Rounds to the player, chips back: every message is confirmed, in text for text, bytes for bytes."""
    table = websocket.path_params["table"]
    if table not in TABLES:
        await websocket.send_denial_response(Response(f"no table {table}", 404))
        return
    offered = websocket.scope["subprotocols"]
    await websocket.accept("table.v1" if "table.v1" in offered else None)
    await websocket.send_json({"event": "welcome", "table": table})
    spinning = asyncio.create_task(_spin_on(websocket, table))
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            if (data := message.get("bytes")) is not None:
                await websocket.send_bytes(data)
            elif message["text"] == "leave":
                await websocket.close(1000, "good night")
                break
            else:
                await websocket.send_json({"event": "accepted", "chips": message["text"]})
    finally:
        spinning.cancel()


async def _spin_on(websocket: WebSocket, table: str) -> None:
    number = 0
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        number += 1
        try:
            await websocket.send_json(spin(table, number))
        except (WebSocketDisconnect, RuntimeError):  # closed between two rounds
            return


async def watch(request: Request, refusal: Response) -> Response:
    """Rounds as server-sent events (WHATWG HTML §9.2), without end or `?limit=` of them."""
    table = request.path_params["table"]
    if table not in TABLES:
        return refusal
    limit = request.query_params.get("limit", "")
    first = request.headers.get("last-event-id", "0")
    rounds = _rounds(table, int(first) if first.isdigit() else 0, int(limit) if limit.isdigit() else 0)
    return StreamingResponse(rounds, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _rounds(table: str, last: int, limit: int) -> AsyncIterator[str]:
    number = last
    while not limit or number < last + limit:
        number += 1
        yield f"id: {number}\nevent: round\ndata: {json.dumps(spin(table, number))}\n\n"
        await asyncio.sleep(PAUSE_SECONDS)
