"""What each command does: a function that takes its arguments and returns its exit status."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Config

DEFAULT_CONFIG = "routes.yaml"


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
