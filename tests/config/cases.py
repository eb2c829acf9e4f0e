"""Configurations kept as one text file each: `=== name` begins a file."""

from __future__ import annotations

from pathlib import Path

ENVIRON = {
    "PLATFORM_API_KEY": "platform-hunter2",
    "AURORA_API_KEY": "aurora-hunter2",
    "EMPTY": "",
    "TOTAL": "ten-hunter2-seconds",
}
"""What the cases' environment holds."""


def unpack(text: str, folder: Path) -> Path:
    """Write a case's files below `folder`; the path of its routes.yaml."""
    path = folder / "routes.yaml"
    for part in text.split("=== ")[1:]:
        name, _, content = part.partition("\n")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return folder / "routes.yaml"
