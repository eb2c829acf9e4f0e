"""`python -m gateway.observer --socket PATH --control PATH`: the supervisor starts it."""

from __future__ import annotations

import argparse
import json
import os
import sys

import uvloop

from gateway.logs import log_crashes, mask_by, set_up
from gateway.observer.observer import Observer, ObserverSettings
from gateway.observer.process import run


def main() -> None:
    """Read one JSON line, the configuration's `telemetry` section, and serve."""
    parser = argparse.ArgumentParser(prog="gateway.observer")
    parser.add_argument("--socket", required=True, help="where workers send records")
    parser.add_argument("--control", required=True, help="where the supervisor asks")
    arguments = parser.parse_args()
    telemetry = json.loads(sys.stdin.readline() or "{}")
    logs = telemetry.get("logs") or {}
    set_up(logs.get("level") or "info", "json" if logs.get("format") == "json" else "text")
    log_crashes()
    settings = ObserverSettings.read(telemetry)
    mask_by(settings.mask)
    observer = Observer.start(settings, os.environ)
    uvloop.run(run(observer, arguments.socket, arguments.control))


if __name__ == "__main__":
    main()
