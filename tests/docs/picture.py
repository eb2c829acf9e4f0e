"""The README's picture: `python -m tests.docs.picture` makes a call that is retried, and draws its trace.

The sandboxes and the gateway are started for it; what is drawn is what the gateway recorded.
"""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import httpx
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from gateway.demo.stage import PLATFORM_KEY, Stage
from gateway.observer.waterfall import waterfall

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "waterfall.svg"
WIDTH = 104
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
"""The trace id of the W3C's own examples."""


def recorded() -> dict[str, Any]:
    """The trace of a game that is asked for while its provider answers 503 twice."""
    with Stage(ROOT / "routes.yaml") as stage, httpx.Client(trust_env=False) as client:
        fault = {"status": 503, "path": "/v1/games", "latency_ms": 12, "times": 2}
        client.post(f"{stage.at.aurora}/_sandbox/faults", json=fault).raise_for_status()
        headers = {"x-api-key": PLATFORM_KEY, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        client.get(f"{stage.at.gateway}/aurora/games", headers=headers).raise_for_status()
        until = time.monotonic() + 20
        while (answer := client.get(f"{stage.at.admin}/api/traces/{TRACE}")).status_code != 200:
            assert time.monotonic() < until, answer.text
            time.sleep(0.05)
        trace: dict[str, Any] = answer.json()
        return trace


def draw(trace: dict[str, Any]) -> str:
    """The waterfall as SVG. It fetches no fonts: a picture in a page calls nobody."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    console.print(Text(f"$ gateway traces {TRACE[:8]}", "bold"))
    console.print(waterfall(trace, WIDTH))
    bare = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="one call, retried twice", code_format=bare, unique_id="waterfall")


if __name__ == "__main__":
    PICTURE.write_text(draw(recorded()))
