"""One line per call. Whatever a caller sent is escaped, so that it forges no line and steers no terminal."""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from gateway.observer.call import Call
from gateway.observer.masking import Masking
from gateway.observer.printable import printable, timestamp

KINDS_LIMIT = 4096
"""Kinds of calls whose common part is remembered."""
_COMMON = ("method", "route", "consumer", "code", "upstream", "target", "cache", "outcome")


def entry(call: Call, masking: Masking | None = None) -> dict[str, Any]:
    """What the log says of a call. Durations are milliseconds; empty values are left out."""
    record, route = call.record, call.route
    masking = Masking() if masking is None else masking
    line: dict[str, Any] = {
        "time": timestamp(call.started_unix_ns),
        "trace_id": record.trace_id,
        "method": record.method,
        "path": _path(call, masking),
        "route": route.name,
        "consumer": record.consumer,
        "client": masking.named("client.address", record.client),
        "status": record.status,
        "code": record.code,
        "upstream": route.upstream,
        "target": record.attempts[-1][0] if record.attempts else "",
        "duration_ms": round(call.total_ns / 1e6, 3),
        "upstream_ms": round(call.upstream_ns / 1e6, 3),
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "cache": record.cache,
        "retries": max(0, len(record.attempts) - 1),
        "outcome": record.outcome,
    }
    return {key: value for key, value in line.items() if value != ""}


def _path(call: Call, masking: Masking) -> str:
    record, route = call.record, call.route
    path = masking.path(record.path, route.template)
    return f"{path}?{masking.query(record.query, route.secrets)}" if record.query else path


def json_line(call: Call, masking: Masking | None = None) -> str:
    """The entry as one JSON object, ASCII only. Written out, because `json.dumps` takes much longer."""
    record, route = call.record, call.route
    masking = Masking() if masking is None else masking
    attempts = record.attempts
    client = masking.named("client.address", record.client) if masking.attributes else record.client
    path = masking.path(record.path, route.template)
    if record.query:
        path = f"{path}?{masking.query(record.query, route.secrets)}"
    texts = (
        record.method, route.name, record.consumer, record.code, route.upstream,
        attempts[-1][0] if attempts else "", record.cache, record.outcome,
    )  # fmt: skip
    common = _common(texts, record.status, len(attempts))
    line = (
        f'{{"time":"{timestamp(call.started_unix_ns)}"{_text("trace_id", record.trace_id)}{common}'
        f"{_text('path', path)}{_text('client', client)}"
        f',"duration_ms":{call.total_ns / 1e6:.3f},"upstream_ms":{call.upstream_ns / 1e6:.3f},'
        f'"request_bytes":{record.request_bytes},"response_bytes":{record.response_bytes}}}\n'
    )
    return line.replace("\x7f", "\\u007f") if "\x7f" in line else line


@lru_cache(KINDS_LIMIT)
def _common(texts: tuple[str, ...], status: int, attempts: int) -> str:
    """What the lines of calls of one kind say alike; `texts` in the order of their names."""
    said = "".join(map(_text, _COMMON, texts))
    return f'{said},"status":{status},"retries":{max(0, attempts - 1)}'


def _text(name: str, value: str) -> str:
    return f',"{name}":{_quote(value)}' if value else ""


def text_line(call: Call, masking: Masking | None = None) -> str:
    """The entry for people: time, client, request, status, what took how long, by which way."""
    record, said = call.record, entry(call, masking)
    way = " ".join(
        f"{key}={said[key]}" for key in ("route", "consumer", "target", "cache", "code") if said.get(key)
    )
    retries = f" retries={said['retries']}" if said["retries"] else ""
    outcome = "" if said["outcome"] == "complete" else f" {said['outcome']}"
    took = f"{said['duration_ms']:.1f}ms (upstream {said['upstream_ms']:.1f}ms)"
    client, path = said.get("client", ""), said.get("path", "")
    line = (
        f"{said['time']} {client} {record.method} {path} {said['status']}{outcome} "
        f"{took} {way}{retries} trace={record.trace_id}"
    )
    return printable(line) + "\n"
