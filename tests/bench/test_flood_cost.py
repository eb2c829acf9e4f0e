"""The campaign of slow connections, in small: it measures, and says what it found."""

from __future__ import annotations

import json

import pytest

from bench.flood_cost import main


def test_it_tells_both_kinds_of_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--rounds", "1", "--seconds", "0.5", "--rate", "100", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["errors"], told["connections"]) == (0, 500)
    assert told["p99_us"]["with"] > 0 < told["p50_us"]["without"]
    assert status == int(told["p99_us"]["ratio"] >= 1.2)
