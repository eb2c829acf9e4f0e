"""A provider's errors in the gateway's words."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.errors import CODES, Native
from gateway.exchange import Exchange, Response
from gateway.mistakes import Mistake, suggest
from gateway.observer.masking import Masking
from gateway.policy import Forward, Policy, PolicyConfig
from gateway.problem import problem

if TYPE_CHECKING:
    from gateway.metrics import Counter
    from gateway.services import Services

READ_BYTES = 64 * 1024
"""Most that is read of a body, and most that it may unpack to."""
MESSAGE_CHARS = 500
LABELS_MAX = 200
"""Unmapped native codes that get a series of their own; the others are counted as `other`."""

_OK = frozenset({"OK", "DUPLICATE_OK"})
_BUSINESS = frozenset(
    {"INSUFFICIENT_FUNDS", "PLAYER_NOT_FOUND", "PLAYER_BLOCKED", "SESSION_INVALID", "SESSION_EXPIRED"}
    | {
        "AMOUNT_INVALID",
        "CURRENCY_INVALID",
        "GAME_UNAVAILABLE",
        "BET_NOT_ALLOWED",
        "LIMIT_STAKE",
        "LIMIT_LOSS",
    }
    | {
        "LIMIT_TIME",
        "LIMIT_COUNT",
        "TX_NOT_FOUND",
        "TX_CONFLICT",
        "TX_CANCELLED",
        "ROUND_CLOSED",
        "PARENT_FAILED",
    }
    | {
        "ROLLBACK_REFUSED",
        "ALREADY_ROLLED_BACK",
        "REALITY_CHECK",
        "SELF_EXCLUDED",
        "NOT_VERIFIED",
        "UNDERAGE",
    }
)
"""What a healthy provider says about the player, the money or the game: never a failure of the provider."""
_TEMPORARY_STATUSES = frozenset({408, 425, 429})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_USUAL_CODES = ("/error/code", "/code", "/errorCode", "/error_code", "/status", "/error")
_USUAL_MESSAGES = (
    "/error/message",
    "/error/text",
    "/message",
    "/errorMessage",
    "/detail",
    "/description",
    "/error",
)


def kind_of(code: str) -> str:
    """What breaker, retry and cache go by: ok, business, temporary or final."""
    if code in _OK:
        return "ok"
    if code in _BUSINESS:
        return "business"
    return "temporary" if CODES[code].temporary else "final"


def _canonical(code: str) -> str:
    if code not in CODES:
        raise Mistake(f"{code!r} is not a canonical code", suggest(code, CODES))
    return code


def _pointer(text: str) -> str:
    """RFC 6901: empty, or a `/` before every token; `~` only as `~0` and `~1`."""
    if (text and not text.startswith("/")) or "~" in text.replace("~0", "").replace("~1", ""):
        raise Mistake(f"{text!r} is not a JSON pointer", "write a / before every field, like /error/code")
    return text


def _code_text(code: Any) -> Any:
    return str(code) if isinstance(code, int) and not isinstance(code, bool) else code


def _keys_as_text(codes: Any) -> Any:
    return {_code_text(key): value for key, value in codes.items()} if isinstance(codes, dict) else codes


Canonical = Annotated[str, AfterValidator(_canonical)]
Pointer = Annotated[str, AfterValidator(_pointer)]
NativeCode = Annotated[str, BeforeValidator(_code_text)]
Status = Annotated[int, Field(ge=100, le=599)]


class Both(BaseModel):
    """One rule for a status and a body code together: it wins over either alone."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )

    status: Status
    code: NativeCode
    as_: Canonical = Field(alias="as")


class ErrorCodesConfig(PolicyConfig):
    """A provider's status, body code, or both, told in canonical codes."""

    name: ClassVar[str] = "error_codes"
    shadows_itself: ClassVar[bool] = True

    code: Pointer | None = None
    """Where the body holds its code (JSON pointer, RFC 6901). Given, successful statuses are read too;
    left out, only error statuses are, at the usual places."""
    message: Pointer | None = None
    """Where the body holds its message; left out, the usual places."""
    ok: tuple[NativeCode, ...] = ("0", "OK", "SUCCESS")
    """Body codes that mean success."""
    statuses: dict[Status, Canonical] = Field(default={})
    """Status to canonical code."""
    codes: Annotated[dict[str, Canonical], BeforeValidator(_keys_as_text)] = Field(default={})
    """Body code to canonical code; wins over `statuses`."""
    both: tuple[Both, ...] = ()
    """Status and body code together to canonical code; wins over `codes`."""

    def describe(self) -> str:
        rules = len(self.statuses) + len(self.codes) + len(self.both)
        where = f"{self.code} of the body" if self.code is not None else "the usual places of error bodies"
        return f"tells the provider's errors in canonical codes, by {rules} rules over status and {where}"

    def build(self, services: Services) -> Policy:
        return _ErrorCodes(self, services)

    async def foresee(self, exchange: Exchange, services: Services) -> str:
        del exchange, services
        return "passes it on, and reads what comes back"


class _ErrorCodes:
    """Innermost: classifies every answer, and puts a problem in the place of an error."""

    def __init__(self, config: ErrorCodesConfig, services: Services) -> None:
        self.reads_success = config.code is not None
        self.code_at = _tokens((config.code,) if config.code is not None else _USUAL_CODES)
        self.message_at = _tokens((config.message,) if config.message is not None else _USUAL_MESSAGES)
        self.ok = frozenset(config.ok)
        self.statuses = config.statuses
        self.codes = config.codes
        self.both: Mapping[tuple[int, str], str] = {
            (rule.status, rule.code): rule.as_ for rule in config.both
        }
        self.shadow = config.mode == "shadow"
        self.provider = services.route.provider
        self.counted_as = self.provider or services.route.upstream
        self._masking = Masking()
        self.unmapped: Counter = services.metrics.counter(
            "gateway_unmapped_errors_total", "Provider errors that no rule maps", ("provider", "native_code")
        )

    async def __call__(self, exchange: Exchange, forward: Forward) -> Response:
        response = await forward(exchange)
        status = response.status
        if status < 400 and (
            not self.reads_success or not 200 <= status < 300 or not _may_hold_a_code(response)
        ):
            if not self.shadow:
                response.kind = "ok"
                exchange.code, exchange.native = "", None  # an attempt before this one may have failed
            return response
        native = await self.read(exchange, response)
        code = self.judge(status, native.code)
        if self.shadow:
            if code not in _OK:
                exchange.decide("error_codes", "would_answer", code)
            return response
        response.kind = kind_of(code)
        if code in _OK:
            response.code = code if code != "OK" else ""
            exchange.code, exchange.native = "", None
            return response
        exchange.decide("error_codes", "mapped", f"{native.code or status} is {code}")
        return self.answer(exchange, response, code, native)

    async def read(self, exchange: Exchange, response: Response) -> Native:
        """The provider's own words, as far as the first 64 KiB of a JSON body hold them."""
        body = None if exchange.method == "HEAD" else await response.buffer_body(READ_BYTES)
        document = None if not body else _json(body, response.header(b"content-encoding") or b"")
        code, message = _first(document, self.code_at), _first(document, self.message_at)
        return Native(code, message[:MESSAGE_CHARS], response.status)

    def judge(self, status: int, native: str) -> str:
        """The canonical code of a status and a body code (empty without one). There are four cases."""
        code = self.both.get((status, native)) or self.codes.get(native)
        if code is not None:
            return code
        if status < 400 and (not native or native in self.ok):
            return "OK"
        code = self.statuses.get(status)
        if code is not None:
            return code
        self.count_unmapped(native or str(status))
        return "TEMPORARY" if status >= 500 or status in _TEMPORARY_STATUSES else "FINAL"

    def count_unmapped(self, native: str) -> None:
        if not native.isprintable():  # whoever reads metrics in a terminal shall not obey a provider
            native = native.encode("unicode_escape").decode()
        labels = (self.counted_as, self._masking.text(native[:64]))
        if labels not in self.unmapped.values and len(self.unmapped.values) >= LABELS_MAX:
            labels = (self.counted_as, "other")
        self.unmapped.add(labels)

    def answer(self, exchange: Exchange, response: Response, code: str, native: Native) -> Response:
        """The error as a problem. Told to wait (429), the provider did nothing: repeating is safe then."""
        temporary = CODES[code].temporary
        wait = response.header(b"retry-after") or b""
        answer = problem(
            exchange,
            code,
            native.message,
            retryable=temporary and (exchange.method in _SAFE_METHODS or native.status == 429),
            retry_after=float(wait) if wait.isdigit() and len(wait) < 7 else None,
            provider=self.provider,
            native=native,
        )
        answer.kind = kind_of(code)
        response.discard()
        return answer


def _may_hold_a_code(response: Response) -> bool:
    """A success is read only where its media type can be JSON: streams and downloads pass as they come."""
    if response.tunnel is not None or response.status in (204, 205):
        return False
    media = response.header(b"content-type") or b"application/json"
    return b"json" in media or (media.startswith(b"text/") and not media.startswith(b"text/event-stream"))


def _json(body: bytes, encoding: bytes) -> Any:
    """The document, or None where it is none. Of codings, gzip and deflate are unpacked, up to 64 KiB."""
    try:
        if encoding.lower() in (b"gzip", b"x-gzip", b"deflate"):
            unpacker = zlib.decompressobj(wbits=47)
            body = unpacker.decompress(body, READ_BYTES)
            if not unpacker.eof:
                return None
        elif encoding not in (b"", b"identity"):
            return None
        return json.loads(body)
    except (ValueError, zlib.error, RecursionError):
        return None


def _tokens(pointers: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])
        for pointer in pointers
    )


def _first(document: Any, places: tuple[tuple[str, ...], ...]) -> str:
    """The first text or number found at one of the places; empty without one."""
    for place in places:
        value = document
        for token in place:
            if isinstance(value, dict):
                value = value.get(token)
            elif (
                isinstance(value, list) and token.isdecimal() and token.isascii() and int(token) < len(value)
            ):
                value = value[int(token)]
            else:
                value = None
                break
        if isinstance(value, str) and value:
            return value.encode("utf-8", "replace").decode()  # JSON can hold halves of surrogate pairs
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""
