"""`gateway serve`: the configuration, the supervisor, the admin port, one banner."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import resource
import socket
import sys
import time
from typing import Any

import uvicorn
import uvloop

from gateway.admin import Admin
from gateway.admin_gate import is_loopback
from gateway.auditing import AuditError
from gateway.config import Config, ConfigError, check_workers, load, render_findings
from gateway.logs import log_crashes, mask_by, set_up
from gateway.supervisor import Supervisor

ADMIN_HEAD_SECONDS = 10.0
"""How long a connection to the admin port may say nothing that is a request."""
ADMIN_CONNECTIONS = 200
"""Beyond so many, those that have said nothing for longest make room."""


class _AdminServer(uvicorn.Server):
    """uvicorn without its own signal handling: the supervisor owns signals. And with a deadline for heads."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._silent: dict[Any, float] = {}
        """Connections without a request under way → since when, in monotonic seconds."""

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second: hang up on whom nothing comes from."""
        now = time.monotonic()
        connections = self.server_state.connections
        silent = [one for one in connections if one.cycle is None or one.cycle.response_complete]  # type: ignore[union-attr]
        self._silent = {one: self._silent.get(one, now) for one in silent}
        oldest = sorted(self._silent, key=self._silent.__getitem__)
        for number, one in enumerate(oldest):
            spare = len(connections) - number > ADMIN_CONNECTIONS
            if spare or now - self._silent[one] >= ADMIN_HEAD_SECONDS:
                one.transport.abort()
        return await super().on_tick(counter)

    def install_signal_handlers(self) -> None:
        """Do nothing."""

    def capture_signals(self) -> Any:
        """Capture nothing."""
        return contextlib.nullcontext()


def _loads(args: argparse.Namespace) -> Config | None:
    try:
        config = load(args.config, os.environ)
        if apart := check_workers(config, args.workers):
            raise ConfigError(apart)
    except ConfigError as error:
        print(render_findings(error.findings, color=sys.stderr.isatty()), end="", file=sys.stderr)
        return None
    return config


def serve(args: argparse.Namespace) -> int:
    """Run until told to stop. Exit status 1: a configuration that cannot serve; 2: unusable addresses."""
    config = _loads(args)
    if config is None:
        return 1
    if args.workers < 1:
        print("--workers must be at least 1", file=sys.stderr)
        return 2
    if not config.server.admin.tokens and not is_loopback(args.admin_host):
        print(
            f"--admin-host {args.admin_host} is reachable from outside: set server.admin.token first",
            file=sys.stderr,
        )
        return 2
    set_up(config.telemetry.logs.level, config.telemetry.logs.format)
    mask_by(config.telemetry.mask.rules())
    log_crashes()
    leave_no_core()
    return uvloop.run(_serve(args, config))


def leave_no_core() -> None:
    """Let no crash of this process or its children write its memory, hence secrets, to a file.

    Only the soft limit falls: `prlimit --core=unlimited --pid PID` lifts it for whoever hunts a crash.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cannot_listen(host: str, port: int, error: Exception, *, option: str = "", port_key: str = "") -> str:
    """Why an address cannot be listened on, and what to do.

    `option` is `admin-` for the admin port's; `port_key` is the setting where the port is not an option's.
    """
    where, anywhere = _authority(host, port), f"say --{option}host with an address of this machine"
    free, another = f"Say --{option}port 0", f"say --{option}port with another one"
    if port_key:
        free, another = f"Set {port_key} to 0", f"set {port_key} to another one"
    number = error.errno or 0 if isinstance(error, OSError) else 0
    # `create_server` makes a plain OSError of the resolver's own, and leaves its negative numbers.
    if number < 0 or isinstance(error, UnicodeError):
        return f"cannot listen on {where}: there is no host {host!r}; {anywhere}, like 127.0.0.1"
    told = f"cannot listen on {where}: {os.strerror(number) if number else error}"
    if number in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        every = "::" if ":" in host else "0.0.0.0"  # noqa: S104 - advice, not an address that is taken
        return f"{told}; {anywhere}, or {every} for all of them"
    if number == errno.EADDRINUSE:
        return f"{told}. Is another gateway running? {free} for a free port, or another one"
    if number == errno.EACCES:
        return f"{told}; ports below 1024 are for root: {another}"
    return f"{told}; say another --{option}host or --{option}port"


async def _serve(args: argparse.Namespace, config: Config) -> int:
    supervisor = Supervisor(args.config, config, os.environ, workers=args.workers)
    supervisor.exposed = not is_loopback(args.admin_host)
    host = args.host or config.server.host
    try:
        port = supervisor.listen(host, args.port)
    except (OSError, UnicodeError) as error:
        supervisor.abandon()
        print(cannot_listen(host, args.port, error), file=sys.stderr)
        return 2
    plain_port = config.server.tls.plain_port if config.server.tls is not None else None
    if plain_port is not None:
        try:
            plain_port = supervisor.listen(host, plain_port)
        except (OSError, UnicodeError) as error:
            supervisor.abandon()
            print(cannot_listen(host, plain_port, error, port_key="server.tls.plain_port"), file=sys.stderr)
            return 2
    try:
        family = socket.AF_INET6 if ":" in args.admin_host else socket.AF_INET
        admin_socket = socket.create_server((args.admin_host, args.admin_port), family=family)
    except (OSError, UnicodeError) as error:
        supervisor.abandon()
        told = cannot_listen(args.admin_host, args.admin_port, error, option="admin-")
        print(told, file=sys.stderr)
        return 2
    admin_port = admin_socket.getsockname()[1]
    app = Admin(supervisor, exposed=supervisor.exposed).app()
    admin = _AdminServer(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    )
    admin_task = asyncio.create_task(admin.serve([admin_socket]))
    try:
        await supervisor.start()
    except AuditError as error:
        print(error, file=sys.stderr)
        supervisor.abandon()
        admin.should_exit = True
        await admin_task
        return 2
    scheme = "https" if config.server.tls else "http"
    calls, asked = _authority(host, port), _authority(args.admin_host, admin_port)
    plain = "" if plain_port is None else f" and http://{_authority(host, plain_port)}"
    print(
        f"gateway serves {len(config.routes)} routes on {scheme}://{calls}{plain} with {args.workers} worker"
        f"{'s' if args.workers > 1 else ''}; admin on http://{asked}",
        flush=True,
    )
    await supervisor.stopped.wait()
    admin.should_exit = True
    await admin_task
    return 0
