"""The simulated platform: an operator's wallet, behind an API of its own.

GET  /health
GET  /wallet/players/{id}
POST /wallet/balance   {player}
POST /wallet/bet       {player, transaction, amount, currency, round?, game?}
POST /wallet/win       the same
POST /wallet/rollback  {player, transaction, reference}
POST /callbacks/...    the same wallet in the providers' tongues, see `partners`

Amounts are whole minor units. A movement answers {player, balance, currency, transaction, duplicate};
a refusal {error, message} and, where the player is known, {balance, currency}, under a fitting status.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.sandbox.fields import Fields, MalformedError
from gateway.sandbox.partners import partner_routes
from gateway.sandbox.server import Sandbox, serve
from gateway.sandbox.wallet import Kind, Movement, Player, Wallet, WalletError

STATUSES = {
    "MALFORMED": 400,
    "NO_FUNDS": 402,
    "PLAYER_BLOCKED": 403,
    "PLAYER_UNKNOWN": 404,
    "TX_UNKNOWN": 404,
    "TX_REUSED": 409,
    "TX_CANCELLED": 409,
    "TX_FINAL": 409,
    "WRONG_AMOUNT": 422,
    "WRONG_CURRENCY": 422,
}


def platform_sandbox(players: list[Player] | None = None) -> Sandbox:
    """A platform with a wallet of its own; the demo's players where none are given."""
    wallet = Wallet(players)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def player(request: Request) -> Response:
        try:
            return JSONResponse(asdict(wallet.player(request.path_params["player"])))
        except WalletError as error:
            return refuse(error)

    async def act(request: Request) -> Response:
        try:
            fields = await Fields.read(request)
            action = request.path_params["action"]
            if action == "balance":
                return JSONResponse(asdict(wallet.balance(fields.text("player"))))
            if action not in set(Kind):
                return JSONResponse({"error": "NO_SUCH_ACTION", "message": f"no action {action!r}"}, 404)
            return JSONResponse(asdict(wallet.move(movement(Kind(action), fields))))
        except MalformedError as error:
            return refuse(WalletError("MALFORMED", str(error)))
        except WalletError as error:
            return refuse(error)

    routes = [
        Route("/health", health),
        Route("/wallet/players/{player}", player),
        Route("/wallet/{action}", act, methods=["POST"]),
        *partner_routes(wallet),
    ]
    return Sandbox("platform", routes, explain)


def movement(kind: Kind, fields: Fields) -> Movement:
    """The platform's own wording of a movement. Raises `MalformedError`."""
    if kind is Kind.ROLLBACK:
        return Movement(
            kind, fields.text("player"), fields.text("transaction"), reference=fields.text("reference")
        )
    return Movement(
        kind,
        fields.text("player"),
        fields.text("transaction"),
        fields.amount("amount"),
        fields.text("currency"),
        round=fields.text("round", ""),
        game=fields.text("game", ""),
    )


def refuse(error: WalletError) -> Response:
    """A refusal in the platform's own shape."""
    body: dict[str, Any] = {"error": error.code, "message": error.text}
    if error.balance is not None:
        body |= {"balance": error.balance, "currency": error.currency}
    return JSONResponse(body, STATUSES[error.code])


def explain(status: int) -> Response:
    """An ordered failure."""
    return JSONResponse({"error": "OUT_OF_ORDER", "message": "the platform was told to fail"}, status)


def serve_platform(port: int = 9200) -> int:
    """Run until SIGINT or SIGTERM; the exit status."""
    return serve(platform_sandbox(), port)
