"""Aurora: a provider that speaks REST.

GET  /health                no key needed; everything else takes `Authorization: Bearer <operator key>`
GET  /v1/games[?kind=slot]  {games: [...], total}, with an ETag
GET  /v1/games/{code}
POST /v1/launch             {game, player, currency, locale?, demo?} → {launch_url, session, expires_in}
GET  /v1/live/{table}       WebSocket
GET  /v1/feed/{table}       server-sent events

Amounts are whole minor units; errors {"error": {"code", "text"}} under a fitting status.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from typing import Any
from uuid import uuid4

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway.sandbox import live
from gateway.sandbox.callback import Call, Worded, callback_route
from gateway.sandbox.fields import Fields, MalformedError
from gateway.sandbox.games import Game, aurora_games
from gateway.sandbox.server import Sandbox

CURRENCIES = ("EUR", "USD", "SEK", "GBP")
Handler = Callable[[Request], Awaitable[Response]]


def fail(status: int, code: str, text: str) -> Response:
    """An error in Aurora's shape."""
    return JSONResponse({"error": {"code": code, "text": text}}, status)


def explain(status: int) -> Response:
    """An ordered failure."""
    return fail(status, "OUT_OF_ORDER", "Aurora was told to fail")


def aurora_sandbox(callback_url: str, *, operator_key: str, callback_key: str) -> Sandbox:
    """`operator_key` is what Aurora wants to see, empty for none; `callback_key` is what it shows itself."""
    games = aurora_games()
    listed = [_show(game) for game in games.values()]

    def known(connection: HTTPConnection) -> bool:
        shown = connection.headers.get("authorization", "")
        return not operator_key or compare_digest(shown.encode(), f"Bearer {operator_key}".encode())

    def keyed(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if not known(request):
                return fail(401, "BAD_KEY", "the operator key is missing or wrong")
            return await handler(request)

        return checked

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "shining"})

    async def all_games(request: Request) -> Response:
        kind = request.query_params.get("kind", "")
        chosen = [game for game in listed if kind in {"", game["kind"]}]
        body = json.dumps({"games": chosen, "total": len(chosen)}).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return Response(body, headers={"etag": tag}, media_type="application/json")

    async def one_game(request: Request) -> Response:
        game = games.get(request.path_params["code"])
        return JSONResponse(_show(game)) if game else _no_such_game(request.path_params["code"])

    async def launch(request: Request) -> Response:
        try:
            fields = await Fields.read(request)
            code, player = fields.text("game"), fields.text("player")
            currency, locale = fields.text("currency"), fields.text("locale", "en")
        except MalformedError as error:
            return fail(400, "BAD_REQUEST", str(error))
        game = games.get(code)
        if game is None:
            return _no_such_game(code)
        if not game.open:
            return fail(503, "GAME_RESTING", f"{game.title} is under maintenance")
        if currency not in CURRENCIES:
            return fail(422, "BAD_CURRENCY", f"Aurora plays in {', '.join(CURRENCIES)}")
        if player == "mallory":
            return fail(403, "PLAYER_BLOCKED", "Aurora does not play with mallory")
        session = str(uuid4())
        url = f"https://games.aurora.example/play/{code}?session={session}&lang={locale}"
        return JSONResponse({"launch_url": url, "session": session, "expires_in": 300}, 201)

    async def feed(request: Request) -> Response:
        return await live.watch(request, fail(404, "NO_SUCH_TABLE", "there is no such table"))

    async def table(websocket: WebSocket) -> None:
        if known(websocket):
            await live.play(websocket)
        else:
            refusal = fail(401, "BAD_KEY", "the operator key is missing or wrong")
            await websocket.send_denial_response(refusal)

    routes = [
        Route("/health", health),
        Route("/v1/games", keyed(all_games)),
        Route("/v1/games/{code}", keyed(one_game)),
        Route("/v1/launch", keyed(launch), methods=["POST"]),
        Route("/v1/feed/{table}", keyed(feed)),
        WebSocketRoute("/v1/live/{table}", table),
        callback_route(callback_url, callback_key, word),
    ]
    return Sandbox("aurora", routes, explain)


def _show(game: Game) -> dict[str, Any]:
    return {
        "code": game.id,
        "title": game.title,
        "kind": game.kind,
        "rtp": f"{game.rtp_basis_points / 100:.2f}",
        "bets": {"from": game.smallest_bet, "to": game.largest_bet},
        "state": "open" if game.open else "resting",
    }


def _no_such_game(code: str) -> Response:
    return fail(404, "NO_SUCH_GAME", f"there is no game {code}")


def word(call: Call, key: str) -> Worded:
    """A wallet call as Aurora makes it: a path per action, whole minor units, the key in `X-Api-Key`."""
    body: dict[str, Any] = {"player": call.player}
    if call.kind != "balance":
        body |= {"tx": call.transaction, "currency": call.currency, "round": call.round}
        body |= {"ref": call.reference} if call.kind == "rollback" else {"amount": call.amount}
        if call.game:
            body["game"] = call.game
    return Worded(f"/{call.kind}", {"x-api-key": key}, body)
