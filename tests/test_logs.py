"""The gateway's own log: one line an event, that no value can forge."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading

import pytest

from gateway.logs import JsonFormatter, TextFormatter, log_crashes, mask_by, set_up
from gateway.observer.masking import MaskSettings


@pytest.fixture(autouse=True)
def _as_it_was():
    root, own = logging.getLogger(), logging.getLogger("gateway")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def record(message, *args, **more):
    return logging.LogRecord("gateway.edge", logging.ERROR, __file__, 1, message, args, more.get("exc_info"))


def test_an_entry_is_one_line_of_ascii():
    line = JsonFormatter().format(record("bad %s", 'é"\n{"level": "info"}\x1b[31m'))
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["message"] == 'bad é"\n{"level": "info"}\x1b[31m'
    assert (entry["level"], entry["logger"]) == ("error", "gateway.edge")
    assert entry["time"].endswith("Z")


def test_text_steers_no_terminal():
    line = TextFormatter().format(record("%s", "a\x1b[31m\r\x9b2J\x00\tb\nc"))
    assert line.endswith(r"a\x1b[31m\x0d\x9b2J\x00" + "\tb\nc")


def test_a_failure_brings_its_traceback():
    try:
        1 / 0  # noqa: B018 - it is the failure
    except ZeroDivisionError:
        entry = json.loads(JsonFormatter().format(record("failed", exc_info=sys.exc_info())))
    assert "ZeroDivisionError" in entry["exception"]


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_error_that_quotes_a_caller_is_redacted(formatter):
    try:
        raise ValueError("GET /x?token=s3cret of jon@x.example, cookie: s3cret")
    except ValueError:
        line = formatter.format(record("failed for jon@x.example", exc_info=sys.exc_info()))
    assert "ValueError: GET /x?token=REDACTED of MASKED, cookie: REDACTED" in line
    assert "failed for MASKED" in line
    assert "jon" not in line


CRASH = """
import threading
from gateway.logs import log_crashes, set_up
set_up("info", "json")
log_crashes()
def fail():
    raise RuntimeError("in a thread, token=s3cret")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise RuntimeError("at the end, x-api-key: s3cret")
"""


def test_a_crash_is_a_line_like_any_other():
    ended = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    entries = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [entry["level"] for entry in entries] == ["critical", "critical"]
    assert "in a thread, token=REDACTED" in entries[0]["exception"]
    assert "at the end, x-api-key: REDACTED" in entries[1]["exception"]


def test_an_interruption_is_no_crash(capsys):
    before = sys.excepthook, threading.excepthook
    try:
        log_crashes()
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        threading.excepthook(threading.ExceptHookArgs((SystemExit, None, None, None)))
    finally:
        sys.excepthook, threading.excepthook = before
    assert "KeyboardInterrupt" in capsys.readouterr().err


def test_rules_of_the_configuration_hold_for_messages_too(capsys):
    set_up("info", "json")
    logging.getLogger("gateway.edge").info("at /x?tag=jon")
    mask_by(MaskSettings(("tag",)))
    logging.getLogger("gateway.edge").info("at /x?tag=jon")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["message"], second["message"]) == ("at /x?tag=jon", "at /x?tag=MASKED")


@pytest.mark.parametrize("form", ["json", "text"])
def test_others_speak_only_of_trouble(form, capsys):
    set_up("info", form)
    logging.getLogger("gateway.edge").info("own")
    logging.getLogger("gateway.edge").debug("detail")
    logging.getLogger("httpx").info("other")
    logging.getLogger("httpx").warning("trouble")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "own" in lines[0]
    assert "trouble" in lines[1]
    if form == "json":
        assert json.loads(lines[0])["level"] == "info"
