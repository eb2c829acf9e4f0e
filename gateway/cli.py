"""The command line: which commands there are, and what may be said to each."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway import __version__, commands
from gateway.commands import DEFAULT_CONFIG


def _add_config(parser: argparse.ArgumentParser) -> None:
    default = Path(os.environ.get("GATEWAY_CONFIG", DEFAULT_CONFIG))
    told = "the routes file; policies/ is looked for beside it (default: %(default)s)"
    parser.add_argument("--config", "-c", type=Path, default=default, help=told)


def _port(text: str) -> int:
    """A TCP port, or 0 for any free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: say 1 to 65535, or 0 for a free one")
    return int(text)


def _count(text: str) -> int:
    """How many: at least one."""
    if not text.isdecimal() or not 0 < int(text) < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no count: say a number from 1 on")
    return int(text)


def _number(text: str) -> int:
    """The number of an entry; 0 for any."""
    if not text.isdecimal() or len(text) > 15:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of an entry: say one from 1 on, or 0 for any"
        )
    return int(text)


def _moment(text: str) -> datetime:
    """A moment in ISO 8601; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no moment: say one like 2026-01-31 or 2026-01-31T12:00Z"
        raise argparse.ArgumentTypeError(told) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _add_audit(known: Any) -> None:
    audit = known.add_parser("audit", help="check or export the audit log")
    kinds = audit.add_subparsers(dest="audit", required=True, metavar="COMMAND")
    verify = kinds.add_parser("verify", help="say whether the audit log is what was written")
    told = "its directory, or an exported file (default: what the configuration says)"
    verify.add_argument("log", nargs="?", type=Path, metavar="LOG", help=told)
    told = "a file with the key; repeat for older keys (default: the configuration's, where it is read)"
    verify.add_argument("--key-file", action="append", type=Path, default=[], metavar="FILE", help=told)
    told = "the heads that were written out (default: the configuration's audit.head.path)"
    verify.add_argument("--head", type=Path, metavar="FILE", help=told)
    told = "the entry it is expected to begin with (default: 1; of an exported file any)"
    verify.add_argument("--first", type=_number, metavar="N", help=told)
    verify.add_argument("--json", action="store_true", help="JSON instead of text")
    verify.set_defaults(run=commands.run_audit_verify)
    export = kinds.add_parser("export", help="copy entries of the audit log, links and all, to one file")
    told = "its directory (default: what the configuration says)"
    export.add_argument("log", nargs="?", type=Path, metavar="LOG", help=told)
    told = "the file to write; never overwritten"
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help=told)
    told = "from this moment on, like 2026-01-31 or 2026-01-31T12:00Z"
    export.add_argument("--since", type=_moment, metavar="TIME", help=told)
    export.add_argument("--until", type=_moment, metavar="TIME", help="before this moment")
    export.set_defaults(run=commands.run_audit_export)
    told = "the routes file that says where the log and its key are; not read where LOG is given unless named"
    for parser in (verify, export):
        parser.add_argument("--config", "-c", type=Path, help=told)


def _add_admin(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("GATEWAY_ADMIN", "http://127.0.0.1:8081")
    told = "address of the running gateway's admin port (default: %(default)s)"
    parser.add_argument("--admin", default=default, help=told)
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def make_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="gateway", description="The API gateway between a casino platform and its game providers."
    )
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    known = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = known.add_parser("serve", help="run the gateway")
    _add_config(serve)
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument(
        "--port", type=_port, default=8080, help="port for calls; 0 for a free one (default: 8080)"
    )
    serve.add_argument(
        "--admin-host", default="127.0.0.1", help="address of the admin port (default: %(default)s)"
    )
    serve.add_argument(
        "--admin-port",
        type=_port,
        default=8081,
        help="health, metrics, API; 0 for a free one (default: 8081)",
    )
    serve.add_argument("--workers", type=int, default=1, help="worker processes (default: 1)")
    serve.set_defaults(run=commands.run_serve)

    check = known.add_parser("check", help="say what is wrong with a configuration, offline")
    _add_config(check)
    check.add_argument("--json", action="store_true", help="JSON instead of text")
    check.add_argument("--strict", action="store_true", help="warnings fail too; notes never do")
    check.set_defaults(run=commands.run_check)

    explain = known.add_parser("explain", help="what would happen to a call, touching no live state")
    explain.add_argument("method", metavar="METHOD", help="GET, POST, ..., in capitals as on the wire")
    explain.add_argument("path", metavar="PATH", help="path, with a query where wanted")
    explain.add_argument(
        "--from", dest="client", default="127.0.0.1", metavar="IP", help="the caller's address"
    )
    explain.add_argument(
        "--header", "-H", action="append", default=[], metavar="K:V", help="a request header; repeat for more"
    )
    explain.add_argument("--https", action="store_true", help="the call comes over TLS")
    explain.add_argument("--json", action="store_true", help="JSON instead of text")
    _add_config(explain)
    explain.set_defaults(run=commands.run_explain)

    diff = known.add_parser("diff", help="which routes and policies change between two configurations")
    diff.add_argument("old", type=Path, metavar="OLD", help="the routes file that serves")
    diff.add_argument("new", type=Path, metavar="NEW", help="the one that would; policies/ beside each")
    diff.add_argument("--exit-code", action="store_true", help="exit 1 where anything changes")
    diff.add_argument("--json", action="store_true", help="JSON instead of text")
    diff.set_defaults(run=commands.run_diff)

    schema = known.add_parser("schema", help="the JSON Schema of routes.yaml, for editors")
    schema.add_argument("--policies", action="store_true", help="of a file in policies/ instead")
    schema.set_defaults(run=commands.run_schema)

    traces = known.add_parser("traces", help="draw recent traces of a running gateway")
    traces.add_argument("id", nargs="?", metavar="ID", help="a trace id, or the beginning of one")
    traces.add_argument("--errors", action="store_true", help="only calls that failed")
    traces.add_argument("--slow", action="store_true", help="slowest first")
    traces.add_argument("--route", help="only calls of this route")
    traces.add_argument("--limit", type=_count, default=20, help="how many (default: %(default)s)")
    _add_admin(traces)
    traces.set_defaults(run=commands.run_traces)

    status = known.add_parser("status", help="generation, workers and upstreams of a running gateway")
    _add_admin(status)
    status.set_defaults(run=commands.run_status)

    reload = known.add_parser("reload", help="tell a running gateway to load its configuration now")
    _add_admin(reload)
    reload.set_defaults(run=commands.run_reload)

    purge = known.add_parser("purge", help="forget cached answers of a running gateway")
    what = purge.add_mutually_exclusive_group(required=True)
    what.add_argument("--route", help="those of one route")
    what.add_argument("--tag", help="those of all caches that bear this tag")
    _add_admin(purge)
    purge.set_defaults(run=commands.run_purge)

    _add_audit(known)
    demo = known.add_parser("demo", help="simulated providers and platform, the gateway, and a guided tour")
    demo.add_argument(
        "--once", action="store_true", help="end after the tour; exit 0 only if every step went as told"
    )
    _add_config(demo)
    demo.set_defaults(run=commands.run_demo)

    sandbox = known.add_parser("sandbox", help="run one simulated server")
    kinds = sandbox.add_subparsers(dest="kind", required=True, metavar="KIND")
    platform = kinds.add_parser("platform", help="a casino platform with a wallet")
    platform.add_argument("--port", type=_port, default=9200, help="0 for a free one (default: %(default)s)")
    provider = kinds.add_parser("provider", help="a game provider")
    provider.add_argument("name", nargs="?", default="aurora", choices=["aurora", "borealis"],
                          help="which API it speaks (default: %(default)s)")  # fmt: skip
    provider.add_argument(
        "--port", type=_port, help="0 for a free one (default: aurora's 9201, borealis's 9202)"
    )
    provider.add_argument(
        "--callback", default="http://127.0.0.1:8080", help="the gateway's address (default: %(default)s)"
    )
    sandbox.set_defaults(run=commands.run_sandbox)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Entry point of the `gateway` command."""
    args = make_parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except BrokenPipeError:  # `gateway ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
