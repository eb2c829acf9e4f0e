"""The soak in small; and what it goes by, on processes that are made up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.soak.health import MIB, Health, Sample
from tests.soak.soak import soak


@pytest.mark.timeout(120)
def test_no_good_call_fails_beside_all_the_others() -> None:
    report = soak(12)
    assert report.faults == []
    calls = report.traffic.calls
    assert calls["good"] > 200
    assert min(calls[name] for name in ("hostile", "broken origin", "leaving", "not reading")) > 5
    assert report.flood.opened > 60
    assert report.reloads >= 1
    assert report.table().row_count == 3


def made_up(*looks: Sample, after: Sample) -> Health:
    health: Any = Health.__new__(Health)
    health.pids = {"worker 0": 7}
    health.start = {"worker 0": Sample(50 * MIB, 20)}
    health.looks = {"worker 0": list(looks)}
    health.after = {"worker 0": after}
    return health  # type: ignore[no-any-return]


def test_what_is_flat() -> None:
    wavy = [Sample((100 + number % 7) * MIB, 60 + number % 50) for number in range(100)]
    assert made_up(*wavy, after=Sample(100 * MIB, 23)).faults(8 * MIB) == []


def test_what_is_not() -> None:
    leaking = [Sample((100 + number) * MIB, 60) for number in range(100)]
    assert made_up(*leaking, after=Sample(200 * MIB, 25)).faults(8 * MIB) == [
        "worker 0 grew by 90.0 MiB, and 8.0 are allowed",
        "worker 0 has 5 descriptors more than before, and no traffic",
    ]


def test_one_peak_decides_nothing() -> None:
    peak = [Sample((300 if number in (3, 95) else 100) * MIB, 60) for number in range(100)]
    assert made_up(*peak, after=Sample(100 * MIB, 20)).faults(8 * MIB) == []
