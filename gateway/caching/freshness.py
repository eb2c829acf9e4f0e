"""RFC 9111's arithmetic: what may be stored, how old it is, how long it stays fresh."""

from __future__ import annotations

import re
from email.utils import mktime_tz, parsedate_tz
from typing import NamedTuple

from gateway.exchange import Headers

Directives = dict[str, str]
"""Directive → its argument; empty for one without."""

DELTA_MAX = 2**31
"""What a larger delta-seconds is taken for (RFC 9111 §1.2.2)."""

_DIRECTIVE = re.compile(r'([!#-+\--<>-~]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^",]*)))?')
_STATUSES_BY_DEFAULT = frozenset({200, 203, 204, 300, 301, 308})
"""Answers that stay fresh for the route's `ttl` though they say nothing about it."""
_STATUSES_WHEN_TOLD = _STATUSES_BY_DEFAULT | {302, 307, 404, 405, 410, 414}
"""Answers that may be kept where they say for how long."""


def directives(values: list[bytes]) -> Directives:
    """A Cache-Control field, all its lines; of a directive told twice, the first stands (§4.2.1)."""
    found: Directives = {}
    for value in values:
        for name, quoted, plain in _DIRECTIVE.findall(value.decode("latin-1")):
            found.setdefault(name.lower(), quoted or plain.strip())
    return found


def delta(text: str) -> int:
    """Seconds of a delta-seconds argument; what is none counts as 0, which is stale (§4.2.1)."""
    if not (text.isascii() and text.isdecimal()):
        return 0
    return min(int(text), DELTA_MAX) if len(text) < 11 else DELTA_MAX


def http_date(value: bytes | None) -> float | None:
    """Unix seconds of an HTTP date in any of its three forms; None for none or a wrong one."""
    if not value:
        return None
    parsed = parsedate_tz(value.decode("latin-1"))
    if parsed is None:
        return None
    try:
        return float(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None


def _all(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def why_not_stored(status: int, headers: Headers) -> str:
    """Why a shared cache must not keep this answer (§3), in one word; empty where it may."""
    control = directives(_all(headers, b"cache-control"))
    if "no-store" in control:
        return "no-store"
    if "private" in control:
        return "private"
    for name, value in headers:
        if name == b"set-cookie":
            return "set-cookie"
        if name == b"vary" and b"*" in value:
            return "vary"
    if status not in _STATUSES_WHEN_TOLD:
        return "status"
    told = "max-age" in control or "s-maxage" in control or any(name == b"expires" for name, _ in headers)
    if status not in _STATUSES_BY_DEFAULT and not told:
        return "status"
    return ""


class Freshness(NamedTuple):
    """How fresh an answer is, from the second it was received."""

    initial_age: float
    """Seconds old when it was received (§4.2.3)."""
    lifetime: float
    """Age in seconds up to which it is fresh."""
    validate: bool
    """`no-cache`: must be validated before every use."""
    strict: bool
    """Must never be given stale."""
    stale_while_revalidate: float
    stale_if_error: float


def freshness(
    headers: Headers,
    *,
    requested: float,
    received: float,
    ttl: float,
    override: bool = False,
    stale_while_revalidate: float = 0.0,
    stale_if_error: float = 0.0,
) -> Freshness:
    """How fresh an answer is; times in Unix seconds, spans in seconds.

    The lifetime is, in this order: `s-maxage`, `max-age`, `Expires` less `Date`, else `ttl`. A lifetime
    that is ours (`ttl`, told by nobody or overriding) begins at the receipt; one the origin told begins
    when it made the answer, so the answer's age counts.
    """
    control = directives(_all(headers, b"cache-control"))
    date = http_date(next(iter(_all(headers, b"date")), None))
    apparent = max(0.0, received - date) if date is not None else 0.0
    told_age = delta(next(iter(_all(headers, b"age")), b"").decode("latin-1").strip())
    age = max(apparent, told_age + max(0.0, received - requested))
    expires = _all(headers, b"expires")
    if override:
        lifetime = age + ttl
    elif "s-maxage" in control:
        lifetime = delta(control["s-maxage"])
    elif "max-age" in control:
        lifetime = delta(control["max-age"])
    elif expires:
        until = http_date(expires[0])
        lifetime = 0.0 if until is None else max(0.0, until - (received if date is None else date))
    else:
        lifetime = age + ttl
    strict = "must-revalidate" in control or "proxy-revalidate" in control
    # s-maxage implies proxy-revalidate (§5.2.2.10); an answer that allows stale use by name takes that back.
    if "s-maxage" in control and not override:
        stale_while_revalidate = stale_if_error = 0.0
        strict = strict or not ("stale-while-revalidate" in control or "stale-if-error" in control)
    if "stale-while-revalidate" in control:
        stale_while_revalidate = delta(control["stale-while-revalidate"])
    if "stale-if-error" in control:
        stale_if_error = delta(control["stale-if-error"])
    validate = "no-cache" in control
    strict = strict or validate
    if strict:
        stale_while_revalidate = stale_if_error = 0.0
    return Freshness(age, lifetime, validate, strict, stale_while_revalidate, stale_if_error)
