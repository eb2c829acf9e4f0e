"""How a simulated provider calls the operator's wallet when it is told to.

POST /_sandbox/callback
    {kind, player?, transaction?, reference?, amount?, currency?, round?, game?, key?, url?}

answers {request: {url, headers, body}, status, headers, body}: what was sent, and what came back.
`kind` is balance, bet, win or rollback, `amount` whole minor units. `key` sends a wrong key, `url` calls
somewhere else than the callback URL the provider was started with.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.sandbox.fields import Fields, MalformedError
from gateway.sandbox.server import CONTROL

KINDS = ("balance", "bet", "win", "rollback")


@dataclass(frozen=True, slots=True)
class Call:
    """A wallet call before a provider words it."""

    kind: str
    player: str
    transaction: str
    reference: str
    amount: int
    currency: str
    round: str
    game: str


@dataclass(frozen=True, slots=True)
class Worded:
    """The same in a provider's own words."""

    path: str
    """Appended to the callback URL."""
    headers: dict[str, str]
    body: dict[str, Any]


Word = Callable[[Call, str], Worded]
"""(what to say, the key to say it with) to a provider's own words."""


def callback_route(callback_url: str, key: str, word: Word) -> Route:
    """The control endpoint."""

    async def callback(request: Request) -> Response:
        try:
            fields = await Fields.read(request)
            call = read_call(fields)
            worded = word(call, fields.text("key", key))
            url = fields.text("url", callback_url) + worded.path
        except MalformedError as error:
            return JSONResponse({"error": str(error)}, 422)
        body = json.dumps(worded.body)
        headers = {"content-type": "application/json", **worded.headers}
        sent = {"url": url, "headers": headers, "body": worded.body}
        try:
            answer = await asyncio.to_thread(post, url, headers, body)
        except (OSError, http.client.HTTPException) as error:
            return JSONResponse({"request": sent, "error": f"{type(error).__name__}: {error}"}, 502)
        return JSONResponse({"request": sent, **answer})

    return Route(f"{CONTROL}callback", callback, methods=["POST"])


def read_call(fields: Fields) -> Call:
    """What the control endpoint was asked for, with the demo's values where it says nothing."""
    kind = fields.text("kind")
    if kind not in KINDS:
        raise MalformedError(f"kind is one of {', '.join(KINDS)}")
    return Call(
        kind,
        fields.text("player", "alice"),
        fields.text("transaction", "") or str(uuid4()),
        fields.text("reference", ""),
        fields.amount("amount") if "amount" in fields else 0,
        fields.text("currency", "EUR"),
        fields.text("round", "round-1"),
        fields.text("game", ""),
    )


def post(url: str, headers: dict[str, str], body: str) -> dict[str, Any]:
    """One POST on a connection of its own; blocks for at most ten seconds between bytes."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("POST", where.path or "/", body, headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    try:
        told = json.loads(data)
    except ValueError:
        told = data.decode("latin-1")
    return {"status": answer.status, "headers": dict(answer.getheaders()), "body": told}
