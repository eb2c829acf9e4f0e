"""Commands that ask a running gateway: traces, status, reload, purge."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.observer.printable import printable

_URL = re.compile(r"https?://[^/\s]+/*$")


class AdminError(Exception):
    """The admin port gave no good answer; the message says what to do."""


def ask(
    admin: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    answered_by: Callable[[Any], bool] = lambda _: True,
) -> Any:
    """GET `path`, or POST `body` to it; the JSON that came back. Raises `AdminError`.

    `answered_by` tells an admin port's answer from that of another server, such as the port for calls.
    """
    headers = {"accept": "application/json"}
    if token := os.environ.get("GATEWAY_ADMIN_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    if not _URL.match(admin):
        raise AdminError(f"--admin {admin!r} is not an address: say http://HOST:PORT")
    request = urllib.request.Request(admin.rstrip("/") + path, data, headers)  # noqa: S310 - the operator's own URL
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({})
    )  # HTTP_PROXY is not for this machine's own port
    try:
        with opener.open(request, timeout=30) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        if error.code not in (404, 422):
            raise AdminError(f"{admin} answers {error.code}: {text[:2000]}") from None
        told = _json(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AdminError(
            f"no gateway answers on {admin} ({getattr(error, 'reason', error)}); "
            "start one with `gateway serve`, or say --admin http://HOST:PORT"
        ) from None
    if not answered_by(told):
        raise AdminError(
            f"{admin} is no gateway's admin port; say --admin http://HOST:PORT, as the line says with which "
            "`gateway serve` begins"
        )
    return told


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda told: isinstance(told, dict) and all(key in told for key in keys)


def _asked(
    args: argparse.Namespace,
    path: str,
    answered_by: Callable[[Any], bool],
    body: dict[str, Any] | None = None,
) -> Any:
    try:
        return ask(args.admin, path, body, answered_by=answered_by)
    except AdminError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def _is_trace_or_none(told: Any) -> bool:
    return told is None or _has("error")(told) or _has("calls")(told)


def show_traces(args: argparse.Namespace) -> int:
    """`gateway traces [ID]`: one waterfall, or a list. Exit status 1 where nothing matches."""
    from gateway.observer.waterfall import render_list, render_trace

    if args.id:
        trace = _asked(args, f"/api/traces/{urllib.parse.quote(args.id, safe='')}", _is_trace_or_none)
        if not trace or "error" in trace:
            print(
                f"no trace begins with {args.id}; the gateway keeps the last few thousand only",
                file=sys.stderr,
            )
            return 1
        print(json.dumps(trace, indent=2) if args.json else render_trace(trace))
        return 0
    query = {"limit": args.limit}
    query |= {name: 1 for name in ("errors", "slow") if getattr(args, name)}
    query |= {"route": args.route} if args.route else {}
    found = _asked(args, f"/api/traces?{urllib.parse.urlencode(query)}", lambda told: isinstance(told, list))
    if args.json:
        print(json.dumps(found, indent=2))
    elif found:
        print(render_list(found))
    else:
        print("no traces yet: make a call, or loosen the filters", file=sys.stderr)
    return 0 if found else 1


def show_status(args: argparse.Namespace) -> int:
    """`gateway status`. Exit status 1 where the gateway is not ready."""
    status = _asked(args, "/api/status", _has("ready", "workers"))
    if args.json:
        print(json.dumps(status, indent=2))
        return 0 if status["ready"] else 1
    state = "ready" if status["ready"] else "draining" if status["draining"] else "not ready"
    uptime = f"up {status['uptime_seconds']:.0f}s"
    print(f"{state}: generation {status['generation']} of {status['config']}, {uptime}")
    print(f"\n{_table(_worker_rows(status['workers']))}")
    if upstreams := _upstream_rows(status["workers"]):
        print(f"\n{_table(upstreams)}")
    if status["last_reload_error"]:
        print(f"\nthe last reload was refused:\n{status['last_reload_error']}")
    return 0 if status["ready"] else 1


_WORKER = ("process", "generation", "connections", "calls")
_UPSTREAM = ("upstream", "target", "healthy", "calls", "active", "idle", "waiting")


def _worker_rows(workers: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    """One row a worker; the names of the columns first."""
    rows: list[Sequence[str]] = [_WORKER]
    for worker in workers:
        told = [worker.get(key, "-") for key in ("pid", "generation", "connections", "in_flight")]
        error = worker.get("error")
        rows.append(
            [*map(str, told), f"does not answer: {printable(str(error))}"] if error else [*map(str, told)]
        )
    return rows


def _upstream_rows(workers: Sequence[Mapping[str, Any]]) -> list[Sequence[str]]:
    """One row a target, added up over the workers; nothing where none told of any."""
    sums: dict[tuple[str, str], list[int]] = {}
    for worker in workers:
        for name, targets in worker.get("upstreams", {}).items():
            for target in targets:
                counts = [1, int(target["healthy"]), target["calls"], *target["connections"].values()]
                known = sums.get((name, target["target"]), [0] * len(counts))
                sums[name, target["target"]] = [a + b for a, b in zip(known, counts, strict=True)]
    rows: list[Sequence[str]] = [_UPSTREAM] if sums else []
    for (name, target), (told, healthy, *counts) in sums.items():
        state = "yes" if healthy == told else "no" if not healthy else f"{healthy} of {told}"
        rows.append([name, target, state, *map(str, counts)])
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, each as wide as its widest cell."""
    widths: list[int] = []
    for row in rows:
        widths += [0] * (len(row) - len(widths))
        widths = [max(width, len(row[at])) if at < len(row) else width for at, width in enumerate(widths)]
    lines = ["  ".join(f"{cell:{widths[at]}}" for at, cell in enumerate(row)).rstrip() for row in rows]
    return "\n".join(lines)


def tell_reload(args: argparse.Namespace) -> int:
    """`gateway reload`. Exit status 1 where the new configuration was refused."""
    answer = _asked(args, "/api/reload", _has("generation", "changes", "error"), {})
    if args.json:
        print(json.dumps(answer, indent=2))
    elif answer["error"]:
        print(f"refused, generation {answer['generation']} serves on:\n{answer['error']}", file=sys.stderr)
    else:
        print(f"generation {answer['generation']} serves")
        print("".join(f"  {change}\n" for change in answer["changes"]) or "  nothing changed\n", end="")
    return 1 if answer["error"] else 0


def tell_purge(args: argparse.Namespace) -> int:
    """`gateway purge --route NAME | --tag NAME`. Exit status 1 where no cache goes by that name."""
    what = {"route": args.route} if args.route else {"tag": args.tag}
    answer = _asked(args, "/api/cache/purge", _has("purged"), what)
    error = answer.get("error", "")
    if args.json:
        print(json.dumps(answer))
    elif error:
        print(error, file=sys.stderr)
    else:
        print(f"{answer['purged']} cached answers forgotten")
    return 1 if error else 0
