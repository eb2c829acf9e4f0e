"""One mistake must not hide another, nor bring a complaint about what it took with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import check
from gateway.config.document import Document
from gateway.config.findings import Finding
from gateway.config.salvage import Broken, salvage
from tests.config.cases import ENVIRON, unpack

FILE = """version: 1
consumers: {platform: {credentials: [{api_key: {env: PLATFORM_API_KEY}}]}}
upstreams:
  aurora: {targets: [{url: "http://127.0.0.1:9201"}], timeout: {total: 5s}}
routes:
  - {name: games, match: {methods: [GET], path: /games}, upstream: aurora}
  - {name: launch, match: {methods: [POST], path: /launch}, upstream: aurora}
"""


def saved(text: str) -> tuple[list[str], Broken, list[str]]:
    findings: list[Finding] = []
    file, broken = salvage(
        Document("f", text.encode(), ENVIRON, Path()), findings, context={"folder": Path()}
    )
    return [finding.message for finding in findings], broken, [route.name for route in file.routes]


def test_a_file_that_is_right_is_left_as_it_is() -> None:
    assert saved(FILE) == ([], Broken(), ["games", "launch"])


@pytest.mark.parametrize(
    ("right", "wrong", "unknown", "names"),
    [
        ("upstream: aurora}\n  - {name: l", "upstream: aurora, extra: 1}\n  - {name: l", {"extra"}, "games"),
        ("name: games", "name: 5", {"name"}, "x"),
        ("name: games, ", "", {"name"}, "x"),
        ("path: /games", "path: games", {"match"}, "games"),
        ("path: /games", "paths: /games", {"match"}, "games"),
        ("name: games", "name: games, polices: []", {"polices", "policies"}, "games"),
    ],
)
def test_only_the_wrong_part_of_a_route_is_left_out(
    right: str, wrong: str, unknown: set[str], names: str
) -> None:
    told, broken, routes = saved(FILE.replace(right, wrong, 1))
    assert told
    assert broken.routes == {0: unknown}
    assert routes == [names, "launch"]


def test_of_what_is_no_route_nothing_is_known() -> None:
    told, broken, routes = saved(FILE + "  - lobby\n")
    assert told == ["routes[3] takes a mapping, not text"]
    assert not broken.knows(2, "name")
    assert broken.knows(1, "name")
    assert routes == ["games", "launch", "x"]


def test_rules_over_several_keys_are_still_judged() -> None:
    twice = '[{url: "http://127.0.0.1:9201"}, {url: "http://127.0.0.1:9201"}]'
    text = FILE.replace('[{url: "http://127.0.0.1:9201"}]', twice).replace("5s", "5")
    told, broken, _ = saved(text)
    assert told == ["5 is not a duration", "target http://127.0.0.1:9201 is listed twice"]
    assert broken.of("upstreams") == {"aurora"}


def test_two_mistakes_under_one_key_cost_that_key_only() -> None:
    told, broken, _ = saved(FILE.replace("{total: 5s}", "{total: 5, connect: 6}"))
    assert len(told) == 2
    assert broken.of("upstreams") == {"aurora"}


@pytest.mark.parametrize("version", ["", "version: 2\n", "version: {}\n"])
def test_a_wrong_version_hides_nothing(version: str) -> None:
    told, _, routes = saved(FILE.replace("version: 1\n", version).replace("path: /games", "path: games"))
    assert len(told) == 2
    assert routes == ["games", "launch"]


@pytest.mark.parametrize("section", ["consumers: 5", "routes: 5", "route: []", "servr: {}", "server: [1]"])
def test_sections_that_are_wrong_as_a_whole(section: str) -> None:
    told, broken, _ = saved("version: 1\n" + section + "\n")
    assert len(told) == 1
    assert section.partition(":")[0] in broken.sections


def test_what_was_left_out_is_not_missed(tmp_path: Path) -> None:
    text = FILE.replace("credentials:", "credentails:").replace(
        "upstream: aurora}\n  - {name: l",
        "upstream: aurora, policies: [{authentication: {accept: [api_key], consumers: [platform]}}]}\n"
        "  - {name: l",
    )
    path = unpack("=== routes.yaml\n" + text, tmp_path)
    errors = [finding.message for finding in check(path, ENVIRON) if finding.severity == "error"]
    assert errors == ["unknown key 'credentails'"]
