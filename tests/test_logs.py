"""The gateway's own log: one line an event, that no value can forge."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from gateway.logs import JsonFormatter, TextFormatter, set_up


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
    line = TextFormatter("%(message)s").format(record("%s", "a\x1b[31m\r\x9b2J\x00\tb\nc"))
    assert line == r"a\x1b[31m\x0d\x9b2J\x00" + "\tb\nc"


def test_a_failure_brings_its_traceback():
    try:
        1 / 0  # noqa: B018 - it is the failure
    except ZeroDivisionError:
        entry = json.loads(JsonFormatter().format(record("failed", exc_info=sys.exc_info())))
    assert "ZeroDivisionError" in entry["exception"]


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
