"""How the simulated platform understands each provider's wallet calls.

A platform without translation in front of it needs code like this per provider, which is the reason
to have a gateway that translates.

aurora    POST /callbacks/aurora/{balance,bet,win,rollback}
          {player, tx, ref?, amount, currency, round, game}, whole minor units, HTTP statuses
borealis  POST /callbacks/borealis/wallet.do
          {method: getBalance|debit|credit|cancel, params: {user, txId, refTxId?, amount, currency}},
          decimal strings, always HTTP 200 with {status, msg}
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.sandbox.amounts import read_decimal, show_decimal
from gateway.sandbox.fields import Fields, MalformedError
from gateway.sandbox.wallet import Kind, Movement, Receipt, Wallet, WalletError

AURORA_CODES = {
    "MALFORMED": (400, "BAD_REQUEST"),
    "NO_FUNDS": (402, "NOT_ENOUGH_MONEY"),
    "PLAYER_BLOCKED": (403, "PLAYER_BLOCKED"),
    "PLAYER_UNKNOWN": (404, "NO_SUCH_PLAYER"),
    "TX_UNKNOWN": (404, "NO_SUCH_TX"),
    "TX_REUSED": (409, "TX_CONFLICT"),
    "TX_CANCELLED": (409, "TX_CANCELLED"),
    "TX_FINAL": (409, "TX_FINAL"),
    "WRONG_AMOUNT": (422, "BAD_AMOUNT"),
    "WRONG_CURRENCY": (422, "BAD_CURRENCY"),
}
BOREALIS_CODES = {
    "PLAYER_UNKNOWN": 201,
    "PLAYER_BLOCKED": 202,
    "NO_FUNDS": 203,
    "TX_UNKNOWN": 204,
    "TX_REUSED": 205,
    "TX_CANCELLED": 206,
    "TX_FINAL": 207,
    "WRONG_AMOUNT": 208,
    "WRONG_CURRENCY": 209,
    "MALFORMED": 102,
}
BOREALIS_METHODS = {"debit": Kind.BET, "credit": Kind.WIN, "cancel": Kind.ROLLBACK}


def partner_routes(wallet: Wallet) -> list[BaseRoute]:
    """Both tongues, over one wallet."""

    async def aurora(request: Request) -> Response:
        try:
            fields = await Fields.read(request)
            receipt = _aurora(wallet, request.path_params["action"], fields)
        except (MalformedError, WalletError) as error:
            return _aurora_refusal(error)
        body = {
            "ok": True,
            "balance": receipt.balance,
            "currency": receipt.currency,
            "tx": receipt.transaction,
        }
        return JSONResponse(body)

    async def borealis(request: Request) -> Response:
        try:
            receipt = _borealis(wallet, await Fields.read(request))
        except (MalformedError, WalletError) as error:
            return _borealis_refusal(error)
        return JSONResponse({"status": 0, "balance": show_decimal(receipt.balance), "cur": receipt.currency})

    return [
        Route("/callbacks/aurora/{action}", aurora, methods=["POST"]),
        Route("/callbacks/borealis/wallet.do", borealis, methods=["POST"]),
    ]


def _aurora(wallet: Wallet, action: str, fields: Fields) -> Receipt:
    if action == "balance":
        return wallet.balance(fields.text("player"))
    if action not in set(Kind):
        raise MalformedError(f"there is no action {action!r}")
    kind = Kind(action)
    return wallet.move(
        Movement(
            kind,
            fields.text("player"),
            fields.text("tx"),
            0 if kind is Kind.ROLLBACK else fields.amount("amount"),
            fields.text("currency", ""),
            reference=fields.text("ref") if kind is Kind.ROLLBACK else "",
            round=fields.text("round", ""),
            game=fields.text("game", ""),
        )
    )


def _aurora_refusal(error: MalformedError | WalletError) -> Response:
    code, balance = (error.code, error.balance) if isinstance(error, WalletError) else ("MALFORMED", None)
    status, told = AURORA_CODES[code]
    body: dict[str, Any] = {"error": {"code": told, "text": error.args[-1]}}
    return JSONResponse(body if balance is None else body | {"balance": balance}, status)


def _borealis(wallet: Wallet, fields: Fields) -> Receipt:
    method, params = fields.text("method"), fields.object("params")
    if method == "getBalance":
        return wallet.balance(params.text("user"))
    kind = BOREALIS_METHODS.get(method)
    if kind is None:
        raise MalformedError(f"there is no method {method!r}")
    return wallet.move(
        Movement(
            kind,
            params.text("user"),
            params.text("txId"),
            0 if kind is Kind.ROLLBACK else _minor_units(params),
            params.text("currency", ""),
            reference=params.text("refTxId") if kind is Kind.ROLLBACK else "",
        )
    )


def _borealis_refusal(error: MalformedError | WalletError) -> Response:
    code, balance = (error.code, error.balance) if isinstance(error, WalletError) else ("MALFORMED", None)
    body: dict[str, Any] = {"status": BOREALIS_CODES[code], "msg": error.args[-1]}
    return JSONResponse(body if balance is None else body | {"balance": show_decimal(balance)})


def _minor_units(params: Fields) -> int:
    try:
        return read_decimal(params.text("amount"))
    except ValueError as error:
        raise MalformedError(str(error)) from None
