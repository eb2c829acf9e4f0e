"""`python -m gateway.observer --socket PATH --control PATH`: the supervisor starts it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys

import uvloop

from gateway.observer.observer import Observer, ObserverSettings
from gateway.observer.process import run


def main() -> None:
    """Read one JSON line, the configuration's `telemetry` section, and serve."""
    parser = argparse.ArgumentParser(prog="gateway.observer")
    parser.add_argument("--socket", required=True, help="where workers send records")
    parser.add_argument("--control", required=True, help="where the supervisor asks")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    telemetry = json.loads(sys.stdin.readline() or "{}")
    observer = Observer.start(ObserverSettings.read(telemetry), os.environ)
    uvloop.run(run(observer, arguments.socket, arguments.control))


if __name__ == "__main__":
    main()
