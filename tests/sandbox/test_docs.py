"""What docs/sandbox.md shows works as shown."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import httpx
import pytest

from gateway.sandbox.faults import Fault
from tests.sandbox.running import Running

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
ORDERS = re.findall(r"curl -d '(.*?)'\s+http://127\.0\.0\.1:\d+(/_sandbox/\w+)", TEXT)


@pytest.mark.parametrize(("body", "path"), ORDERS)
def test_every_order_is_taken(aurora: Running, body: str, path: str) -> None:
    with httpx.Client(base_url=aurora.url, trust_env=False) as client:
        order = json.loads(body)
        if path == "/_sandbox/callback":
            order["url"] = "http://127.0.0.1:1"  # no gateway here
        answer = client.post(path, json=order)
        assert answer.status_code == (502 if path == "/_sandbox/callback" else 200)


def test_every_fault_is_told() -> None:
    assert len(ORDERS) == 5
    assert all(f"`{field.name}`" in TEXT for field in dataclasses.fields(Fault))
