"""The gateway writes nothing but into its temporary folder: it serves where all else is read-only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.scenarios.running import children_of
from tests.upstream.origins import ok, origin

ROOT = Path(__file__).parents[2]
CONFIG = """\
version: 1
upstreams: {origin: {targets: [{url: "%s"}]}}
routes: [{name: games, match: {methods: [GET], path: /games}, upstream: origin}]
server: {drain: {delay: 0s}}
"""

WATCH = '''
"""Refuses, in every process of the gateway, what would write outside of ONLY_WRITABLE, and tells of it."""

import errno
import os
import sys

_ALLOWED = os.path.realpath(os.environ["ONLY_WRITABLE"])
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime"}
_LINKS = {"os.rename", "os.link", "os.symlink"}


def _look(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & _WRITING:
        path, folder = args[0], None
    elif event in _CHANGES:
        path, folder = args[0], args[-1]
    elif event in _LINKS:
        path, folder = args[1], args[-1]
    elif event == "socket.bind" and isinstance(args[1], (str, bytes)):
        path, folder = args[1], None
    else:
        return
    if isinstance(path, int):
        path = os.readlink(f"/proc/self/fd/{path}")
    path = os.fsdecode(path)
    if event != "open" and isinstance(folder, int) and folder > 0 and not os.path.isabs(path):
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    path = os.path.abspath(path)
    if path != os.devnull and os.path.commonpath([path, _ALLOWED]) != _ALLOWED:
        sys.stderr.write(f"WRITES: {event} {path}\\n")
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


sys.addaudithook(_look)
'''

AS_THE_IMAGE_DOES = """
mount -t tmpfs -o mode=1777 none "$ONLY_WRITABLE" && mount -o remount,bind,ro / || exit 97
exec setpriv --reuid=10001 --regid=10001 --clear-groups --bounding-set=-all,+dac_read_search \\
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
"""
"""A read-only root, and a user who may read everything (the interpreter may be root's own), write nothing."""


def may_remount() -> bool:
    """Root in a container may be forbidden to."""
    command = ["unshare", "--mount", "mount", "-o", "remount,bind,ro", "/"]
    try:
        return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it (108 bytes, unix(7))."""
    with tempfile.TemporaryDirectory(prefix="gw-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="watched"),
        pytest.param(
            ["unshare", "--mount", "sh", "-c", AS_THE_IMAGE_DOES, "sh"],
            id="read-only",
            marks=pytest.mark.skipif(
                not may_remount(), reason="needs to be root, and to be allowed to mount"
            ),
        ),
    ],
)
async def test_nothing_is_written_elsewhere(before: list[str], tmp_path: Path, short: Path) -> None:
    runtime = short / "r"
    runtime.mkdir()
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(WATCH)
    environ = {name: value for name, value in os.environ.items() if name not in ("HOME", "GATEWAY_CONFIG")}
    environ |= {
        "TMPDIR": str(runtime), "ONLY_WRITABLE": str(runtime), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{tmp_path / 'hook'}:{ROOT}", "HOME": "/nonexistent",
    }  # fmt: skip
    async with origin(ok()) as place:
        (tmp_path / "routes.yaml").write_text(CONFIG % place.url)
        command = [
            sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "routes.yaml"),
            "--port", "0", "--admin-port", "0", "--workers", "1",
        ]  # fmt: skip
        process = subprocess.Popen(
            [*before, *command], cwd="/", env=environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        lines: list[str] = []
        up = threading.Event()

        def listen() -> None:
            assert process.stdout is not None
            with process.stdout as output:
                for line in output:
                    lines.append(line)
                    if "gateway serves" in line:
                        up.set()
            up.set()

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            assert up.wait(30)
            banner = re.search(r"on (http://\S+) with .* admin on (http://\S+)", "".join(lines))
            assert banner is not None, "".join(lines)
            async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
                assert (await client.get(f"{banner[1]}/games")).text == "hello"
                assert (await client.get(f"{banner[2]}/readyz")).status_code == 200
                (tmp_path / "routes.yaml").write_text(
                    CONFIG % place.url + "telemetry: {logs: {level: debug}}\n"
                )
                assert (await client.post(f"{banner[2]}/api/reload", json={})).status_code == 200
                assert (await client.get(f"{banner[1]}/games")).text == "hello"
                traces = (await client.get(f"{banner[2]}/api/traces")).status_code
                assert traces == 200
            if before:
                status = Path(f"/proc/{process.pid}/status").read_text()
                assert re.search(r"^Uid:\t10001\t10001\t", status, re.MULTILINE)
                mounts = Path(f"/proc/{process.pid}/mounts").read_text()
                assert re.search(r"^\S+ / \S+ ro\b", mounts, re.MULTILINE)
                assert list(runtime.iterdir()) == [], "what it writes is in a file system of its own"
            else:
                assert list(runtime.iterdir())
        finally:
            children = children_of(process.pid) if process.poll() is None else []
            process.send_signal(signal.SIGTERM)
            try:
                status_code = process.wait(20)
            except subprocess.TimeoutExpired:
                for pid in (process.pid, *children):
                    os.kill(pid, signal.SIGKILL)
                raise
            finally:
                listener.join(20)
    said = "".join(lines)
    assert status_code == 0, said
    assert "WRITES:" not in said
    assert list(runtime.iterdir()) == [], "it leaves nothing behind"
