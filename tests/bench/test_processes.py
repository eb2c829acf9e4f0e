"""Real children on a real core: what they cost, hold and print, and that nothing of them is left."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench.processes import Process, StartError, Status, accepts, free_port, pinned, start, tree

CORE = min(os.sched_getaffinity(0))

SERVE = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
PARENT = """
import pathlib, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", burn])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
pathlib.Path("ready").touch()
time.sleep(60)
"""


def python(code: str, directory: Path, *arguments: str, **more: object) -> Process:
    more.setdefault("timeout", 30)
    return start([sys.executable, "-c", code, *arguments], core=CORE, directory=directory, **more)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        return not Status.parse(Path(f"/proc/{pid}/stat").read_text()).zombie
    except FileNotFoundError:
        return False


def test_ready_when_the_port_accepts(tmp_path: Path) -> None:
    port = free_port()
    assert not accepts(port)
    with python(SERVE, tmp_path, str(port), ready=port) as process:
        assert accepts(port)
        assert os.sched_getaffinity(process.pid) == {CORE}
        assert "running" in repr(process)
    assert not process.running()
    assert not accepts(port)
    assert "ended with" in repr(process)


def test_a_whole_tree(tmp_path: Path) -> None:
    with python(PARENT, tmp_path, ready=(tmp_path / "ready").exists) as process:
        child = int(process.log().split()[1])
        assert process.cpu_seconds() >= 0.3, "a child that ended counts"
        held = process.rss_bytes()
        assert held.keys() == {process.pid, child}
        assert all(command.startswith(sys.executable) for command, _ in held.values())
        assert all(1 << 20 < size < 1 << 30 for _, size in held.values())
    assert not alive(child), "it ignored that its parent ended"


def test_an_orphan_is_still_counted_and_ended(tmp_path: Path) -> None:
    code = """
import os, pathlib, time
if os.fork() == 0:
    if os.fork() == 0:
        pathlib.Path("orphan").write_text(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(60)
"""

    def orphaned() -> bool:
        path = tmp_path / "orphan"
        return path.exists() and bool(path.read_text())

    with python(code, tmp_path, ready=orphaned) as process:
        orphan = int((tmp_path / "orphan").read_text())
        assert orphan in tree(process.pid)
    assert not alive(orphan)


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    code = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("ready").touch()
time.sleep(60)
"""
    process = python(code, tmp_path, ready=(tmp_path / "ready").exists)
    began = time.monotonic()
    process.stop(patience=0.2)
    assert 0.2 <= time.monotonic() - began < 10
    assert not alive(process.pid)


def test_one_that_ends_early(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"(?s)ended with 3; .*no such setting"):
        python("print('no such setting'); raise SystemExit(3)", tmp_path, ready=free_port())


def test_one_that_is_late(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"was not ready within 0.3 s"):
        python("import time; time.sleep(60)", tmp_path, ready=lambda: False, timeout=0.3)


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no-such-command cannot be started"):
        start(["no-such-command"], core=CORE, directory=tmp_path, ready=free_port())


def test_environment_is_added(tmp_path: Path) -> None:
    code = (
        "import os, time; os.write(1, b'%s %d' % (os.environb[b'ADDED'], len(os.environ['PATH']) > 0));"
        " time.sleep(60)"
    )
    log = tmp_path.glob
    with python(
        code, tmp_path, env={"ADDED": "yes"}, ready=lambda: any(p.stat().st_size for p in log("*.log"))
    ) as it:
        assert it.log() == "yes 1"  # one write: a log is looked at as soon as it is not empty


def test_a_core_that_is_not_there() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(StartError, match="core 1000 cannot be had"), pinned(1000):
        pass
    with pinned(CORE):
        assert os.sched_getaffinity(0) == {CORE}
    assert os.sched_getaffinity(0) == before


def test_a_line_of_proc() -> None:
    line = "42 (a) b (c) S 7 42 9 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 5 6"
    assert Status.parse(line) == Status(parent=7, session=9, zombie=False, cpu_ticks=124, began_ticks=5)
    assert Status.parse(line.replace(" S ", " Z ")).zombie
