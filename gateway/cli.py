"""The command line. Every command is a function that returns its exit status."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import __version__

if TYPE_CHECKING:
    from gateway.config import Config

DEFAULT_CONFIG = "routes.yaml"


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


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser("audit", help="check or export the audit log")
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
    verify.set_defaults(run=run_audit_verify)
    export = kinds.add_parser("export", help="copy entries of the audit log, links and all, to one file")
    told = "its directory (default: what the configuration says)"
    export.add_argument("log", nargs="?", type=Path, metavar="LOG", help=told)
    told = "the file to write; never overwritten"
    export.add_argument("--to", type=Path, required=True, metavar="FILE", help=told)
    told = "from this moment on, like 2026-01-31 or 2026-01-31T12:00Z"
    export.add_argument("--since", type=_moment, metavar="TIME", help=told)
    export.add_argument("--until", type=_moment, metavar="TIME", help="before this moment")
    export.set_defaults(run=run_audit_export)
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
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the gateway")
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
    serve.set_defaults(run=run_serve)

    check = commands.add_parser("check", help="say what is wrong with a configuration, offline")
    _add_config(check)
    check.add_argument("--json", action="store_true", help="JSON instead of text")
    check.add_argument("--strict", action="store_true", help="warnings fail too; notes never do")
    check.set_defaults(run=run_check)

    explain = commands.add_parser("explain", help="what would happen to a call, touching no live state")
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
    explain.set_defaults(run=run_explain)

    diff = commands.add_parser("diff", help="which routes and policies change between two configurations")
    diff.add_argument("old", type=Path, metavar="OLD", help="the routes file that serves")
    diff.add_argument("new", type=Path, metavar="NEW", help="the one that would; policies/ beside each")
    diff.add_argument("--exit-code", action="store_true", help="exit 1 where anything changes")
    diff.add_argument("--json", action="store_true", help="JSON instead of text")
    diff.set_defaults(run=run_diff)

    schema = commands.add_parser("schema", help="the JSON Schema of routes.yaml, for editors")
    schema.add_argument("--policies", action="store_true", help="of a file in policies/ instead")
    schema.set_defaults(run=run_schema)

    traces = commands.add_parser("traces", help="draw recent traces of a running gateway")
    traces.add_argument("id", nargs="?", metavar="ID", help="a trace id, or the beginning of one")
    traces.add_argument("--errors", action="store_true", help="only calls that failed")
    traces.add_argument("--slow", action="store_true", help="slowest first")
    traces.add_argument("--route", help="only calls of this route")
    traces.add_argument("--limit", type=_count, default=20, help="how many (default: %(default)s)")
    _add_admin(traces)
    traces.set_defaults(run=run_traces)

    status = commands.add_parser("status", help="generation, workers and upstreams of a running gateway")
    _add_admin(status)
    status.set_defaults(run=run_status)

    reload = commands.add_parser("reload", help="tell a running gateway to load its configuration now")
    _add_admin(reload)
    reload.set_defaults(run=run_reload)

    purge = commands.add_parser("purge", help="forget cached answers of a running gateway")
    what = purge.add_mutually_exclusive_group(required=True)
    what.add_argument("--route", help="those of one route")
    what.add_argument("--tag", help="those of all caches that bear this tag")
    _add_admin(purge)
    purge.set_defaults(run=run_purge)

    _add_audit(commands)
    demo = commands.add_parser(
        "demo", help="simulated providers and platform, the gateway, and a guided tour"
    )
    demo.add_argument(
        "--once", action="store_true", help="end after the tour; exit 0 only if every step went as told"
    )
    _add_config(demo)
    demo.set_defaults(run=run_demo)

    sandbox = commands.add_parser("sandbox", help="run one simulated server")
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
    sandbox.set_defaults(run=run_sandbox)
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


def run_serve(args: argparse.Namespace) -> int:
    """`gateway serve`."""
    from gateway.serve import serve

    return serve(args)


def run_check(args: argparse.Namespace) -> int:
    """`gateway check`."""
    from gateway.config import examine, render_findings

    config, findings = examine(args.config, os.environ)
    told = [*findings, *(config.notes if config is not None else ())]
    errors = sum(finding.severity == "error" for finding in findings)
    if args.json:
        print(json.dumps([asdict(finding) for finding in told], indent=2, default=str))
    else:
        print(render_findings(told, color=sys.stdout.isatty()), end="")
        warnings = len(findings) - errors
        if not errors:
            but = f", {warnings} warning{'s'[: warnings != 1]}" if warnings else ""
            print(f"{args.config}: good{but}")
    return 1 if errors or (args.strict and findings) else 0


def _load(path: Path) -> Config:
    """The configuration, or exit status 1 with all that is wrong with it."""
    from gateway.config import ConfigError, load, render_findings

    try:
        return load(path, os.environ)
    except ConfigError as error:
        print(render_findings(error.findings, color=sys.stderr.isatty()), end="", file=sys.stderr)
        raise SystemExit(1) from None


def run_explain(args: argparse.Namespace) -> int:
    """`gateway explain`. Exit status 0 where the call would be forwarded, 1 where refused."""
    from gateway.edge.explainable import explainable
    from gateway.edge.limits import EdgeLimits
    from gateway.edge.plain import METHODS
    from gateway.errors import Refused
    from gateway.explain import explain, render

    headers = []
    for text in args.header:
        name, colon, value = text.partition(":")
        if not colon:
            print("a --header is not K:V, like x-api-key:secret", file=sys.stderr)  # which may be the secret
            return 2
        headers.append((name.strip().lower().encode(), value.strip().encode()))
    config = _load(args.config)
    try:
        exchange = explainable(
            args.method, args.path, headers, client=args.client, https=args.https,
            limits=EdgeLimits.of(config.server), trusted_proxies=config.server.trusted_proxies,
            certificate_header=config.server.client_certificate_header or "",
        )  # fmt: skip
    except Refused as refusal:
        meant = args.method.upper()
        hint = f"; did you mean {meant}?" if meant != args.method and meant.encode() in METHODS else ""
        print(
            f"the edge would refuse this call before any route: {refusal.detail} ({refusal.code}){hint}",
            file=sys.stderr,
        )
        return 1
    except ValueError as error:
        print(f"--from {args.client} is no address: {error}", file=sys.stderr)
        return 2
    told = asyncio.run(explain(config, exchange))
    print(json.dumps(asdict(told), indent=2) if args.json else render(told), end="\n" if args.json else "")
    return 1 if told.refused else 0


def run_diff(args: argparse.Namespace) -> int:
    """`gateway diff OLD NEW`."""
    from gateway.config import diff

    changes = diff(_load(args.old), _load(args.new))
    if args.json:
        print(json.dumps(changes, indent=2))
    else:
        print("\n".join(changes) if changes else "nothing changes")
    return 1 if changes and args.exit_code else 0


def run_schema(args: argparse.Namespace) -> int:
    """`gateway schema`."""
    from gateway.config import json_schema, policies_schema

    print(json.dumps(policies_schema() if args.policies else json_schema(), indent=2))
    return 0


def run_traces(args: argparse.Namespace) -> int:
    """`gateway traces`."""
    from gateway.admin_client import show_traces

    return show_traces(args)


def run_status(args: argparse.Namespace) -> int:
    """`gateway status`."""
    from gateway.admin_client import show_status

    return show_status(args)


def run_reload(args: argparse.Namespace) -> int:
    """`gateway reload`."""
    from gateway.admin_client import tell_reload

    return tell_reload(args)


def run_purge(args: argparse.Namespace) -> int:
    """`gateway purge`."""
    from gateway.admin_client import tell_purge

    return tell_purge(args)


def run_audit_verify(args: argparse.Namespace) -> int:
    """`gateway audit verify`."""
    from gateway.audit_commands import verify_log

    return verify_log(args, _audit_config(args))


def run_audit_export(args: argparse.Namespace) -> int:
    """`gateway audit export`."""
    from gateway.audit_commands import export_log

    return export_log(args, _audit_config(args))


def _audit_config(args: argparse.Namespace) -> Config | None:
    if args.config is None and args.log is not None:
        return None
    return _load(args.config or Path(os.environ.get("GATEWAY_CONFIG", DEFAULT_CONFIG)))


def run_demo(args: argparse.Namespace) -> int:
    """`gateway demo`."""
    from gateway.demo import run

    return run(args.config, once=args.once)


def run_sandbox(args: argparse.Namespace) -> int:
    """`gateway sandbox platform|provider`."""
    from gateway.sandbox import serve_platform, serve_provider

    if args.kind == "platform":
        return serve_platform(args.port)
    port = args.port if args.port is not None else {"aurora": 9201, "borealis": 9202}[args.name]
    return serve_provider(args.name, port, args.callback)
