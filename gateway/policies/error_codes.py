"""A provider's errors in the gateway's words."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.errors import CODES
from gateway.policy import PolicyConfig


def _canonical(code: str) -> str:
    if code not in CODES:
        raise ValueError(f"{code!r} is not a canonical code: use one of {', '.join(sorted(CODES))}")
    return code


def _pointer(text: str) -> str:
    """RFC 6901: empty, or a `/` before every token; `~` only as `~0` and `~1`."""
    if (text and not text.startswith("/")) or text.replace("~0", "").replace("~1", "").count("~"):
        raise ValueError(f"{text!r} is not a JSON pointer: write a / before every field, like /error/code")
    return text


def _text(code: Any) -> Any:
    return str(code) if isinstance(code, int) and not isinstance(code, bool) else code


def _keys_as_text(codes: Any) -> Any:
    return {_text(key): value for key, value in codes.items()} if isinstance(codes, dict) else codes


Canonical = Annotated[str, AfterValidator(_canonical)]
Pointer = Annotated[str, AfterValidator(_pointer)]
NativeCode = Annotated[str, BeforeValidator(_text)]


class Both(BaseModel):
    """One rule for a status and a body code together: it wins over either alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    status: int = Field(ge=100, le=599)
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
    statuses: Annotated[dict[int, Canonical], Field()] = {}
    """Status to canonical code."""
    codes: Annotated[dict[str, Canonical], BeforeValidator(_keys_as_text)] = {}
    """Body code to canonical code; wins over `statuses`."""
    both: tuple[Both, ...] = ()
    """Status and body code together to canonical code; wins over `codes`."""
