"""Borealis: a provider that speaks remote procedure calls.

POST /api            {"method": "listGames" | "getGame" | "openGame" | "ping", "params": {...}}
GET  /api/list.do    listGames, /api/game.do?id= getGame: the same for those who cannot POST
GET  /ping           no login needed; everything else takes HTTP Basic

Every answer is HTTP 200 {"status": 0, "data": ...} or {"status": 101, "msg": ...}:
101 unknown game, 102 malformed, 103 not logged in, 104 currency, 105 player refused,
110 game under maintenance, 199 out of order. Amounts are decimal strings.
"""

from __future__ import annotations

from base64 import b64encode
from hmac import compare_digest
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.sandbox.amounts import show_decimal
from gateway.sandbox.callback import Call, Worded, callback_route
from gateway.sandbox.fields import Fields, MalformedError
from gateway.sandbox.games import Game, borealis_games
from gateway.sandbox.server import Sandbox

CURRENCIES = ("EUR", "SEK", "NOK")
UNKNOWN_GAME, MALFORMED, NOT_LOGGED_IN, CURRENCY, PLAYER, RESTING, OUT_OF_ORDER = (
    101,
    102,
    103,
    104,
    105,
    110,
    199,
)


def fail(status: int, text: str) -> Response:
    """An error in Borealis's shape."""
    return JSONResponse({"status": status, "msg": text})


def explain(status: int) -> Response:
    """An ordered failure: what the load balancer in front of Borealis says, which is not JSON."""
    return Response(f"<h1>{status} from the balancer</h1>", status, media_type="text/html")


def borealis_sandbox(callback_url: str, *, operator_key: str, callback_key: str) -> Sandbox:
    """`operator_key` is `user:password`, empty for none; `callback_key` is what Borealis shows itself."""
    games = borealis_games()
    wanted = b"Basic " + b64encode(operator_key.encode())

    def known(request: Request) -> bool:
        return not operator_key or compare_digest(request.headers.get("authorization", "").encode(), wanted)

    def call(method: str, params: Fields) -> Response:
        if method == "ping":
            return JSONResponse({"status": 0, "data": "pong"})
        if method == "listGames":
            return JSONResponse({"status": 0, "data": {"items": [_show(game) for game in games.values()]}})
        if method not in {"getGame", "openGame"}:
            return fail(MALFORMED, f"no method {method}")
        game = games.get(params.text("id"))
        if game is None:
            return fail(UNKNOWN_GAME, "unknown game")
        if method == "getGame":
            return JSONResponse({"status": 0, "data": _show(game)})
        user, currency = params.text("user"), params.text("cur")
        if not game.open:
            return fail(RESTING, "game under maintenance")
        if currency not in CURRENCIES:
            return fail(CURRENCY, "currency not offered")
        if user == "mallory":
            return fail(PLAYER, "player refused")
        url = f"https://play.borealis.example/{game.id}/{uuid4().hex}"
        return JSONResponse({"status": 0, "data": {"url": url, "ttl": "600"}})

    async def rpc(request: Request) -> Response:
        if not known(request):
            return fail(NOT_LOGGED_IN, "not logged in")
        try:
            fields = await Fields.read(request)
            return call(fields.text("method"), fields.object("params"))
        except MalformedError as error:
            return fail(MALFORMED, str(error))

    async def get(request: Request) -> Response:
        if not known(request):
            return fail(NOT_LOGGED_IN, "not logged in")
        method = {"list.do": "listGames", "game.do": "getGame"}.get(request.path_params["name"], "")
        try:
            return call(method, Fields(dict(request.query_params)))
        except MalformedError as error:
            return fail(MALFORMED, str(error))

    async def ping(_: Request) -> Response:
        return JSONResponse({"status": 0, "data": "pong"})

    routes = [
        Route("/ping", ping),
        Route("/api", rpc, methods=["POST"]),
        Route("/api/{name}", get),
        callback_route(callback_url, callback_key, word),
    ]
    return Sandbox("borealis", routes, explain)


def _show(game: Game) -> dict[str, Any]:
    return {
        "id": int(game.id),
        "name": game.title,
        "cat": "LIVE" if game.kind == "table" else "SLOT",
        "rtp": game.rtp_basis_points,
        "min": show_decimal(game.smallest_bet),
        "max": show_decimal(game.largest_bet),
        "active": 1 if game.open else 0,
    }


METHODS = {"balance": "getBalance", "bet": "debit", "win": "credit", "rollback": "cancel"}


def word(call: Call, key: str) -> Worded:
    """A wallet call as Borealis makes it: one address, decimal strings, a key header of its own."""
    params: dict[str, Any] = {"user": call.player}
    if call.kind != "balance":
        params |= {"txId": call.transaction, "currency": call.currency}
        if call.kind == "rollback":
            params["refTxId"] = call.reference
        else:
            params["amount"] = show_decimal(call.amount)
    return Worded("/wallet.do", {"x-borealis-key": key}, {"method": METHODS[call.kind], "params": params})
