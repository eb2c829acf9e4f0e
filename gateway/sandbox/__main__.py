"""`python -m gateway.sandbox provider aurora --port 9201`: the sandboxes without the gateway."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gateway.sandbox.platform import serve_platform
from gateway.sandbox.providers import PORTS, serve_provider


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sandbox until it is told to stop; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.sandbox", description="Simulated providers and platform."
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    platform = kinds.add_parser("platform", help="an operator's wallet")
    platform.add_argument("--port", type=int, default=9200, help="0 for a free one")
    provider = kinds.add_parser("provider", help="a game provider")
    provider.add_argument("name", choices=sorted(PORTS))
    provider.add_argument("--port", type=int, help="0 for a free one")
    provider.add_argument("--callback", default="http://127.0.0.1:8080", help="the gateway's address")
    chosen = parser.parse_args(arguments)
    if chosen.kind == "platform":
        return serve_platform(chosen.port)
    return serve_provider(chosen.name, chosen.port, chosen.callback)


if __name__ == "__main__":
    sys.exit(main())
