"""What a caller can send to get past the edge, over raw sockets; a strict origin counts what arrives.

Whether something was smuggled is what the origin saw, not what the caller got.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.edge.attacks.cases import CASES, Case
from tests.edge.attacks.conversation import AFTER, attack, converse
from tests.edge.attacks.recording import RecordingOrigin
from tests.scenarios.running import Gateway

CONFIG = """
    version: 1
    upstreams: {{origin: {{targets: [{{url: "http://127.0.0.1:{port}"}}]}}}}
    routes:
      - {{name: open, match: {{methods: [GET, POST], path: /open}}, upstream: origin}}
      - {{name: below, match: {{methods: [GET, POST], path: /open/*}}, upstream: origin}}
      - {{name: files, match: {{methods: [GET, POST], path: /files/*}}, upstream: origin, rewrite: /base/*}}
      - {{name: after, match: {{methods: [GET, POST], path: /after}}, upstream: origin}}
      - {{name: smuggled, match: {{methods: [GET, POST], path: /smuggled}}, upstream: origin}}
"""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.attack(case.family), id=f"{case.family}-{case.name}")
        for case in CASES
    ],
)
def test_attack(case: Case, edge: Gateway, origin: RecordingOrigin) -> None:
    assert attack(edge.port, case, origin) == ""


def test_the_gateway_still_serves(edge: Gateway, origin: RecordingOrigin) -> None:
    origin.clear()
    assert [answer.body for answer in converse(edge.port, AFTER)] == [b"/after"]
    assert edge.metric("gateway_requests_in_flight") == 0


def test_cases_have_names_of_their_own() -> None:
    names = Counter((case.family, case.name) for case in CASES)
    assert max(names.values()) == 1, names.most_common(3)
