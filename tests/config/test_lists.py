from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import check
from tests.config.cases import ENVIRON, FULL, unpack

NO_ENTRY = "an entry is a list's name, or one policy with its settings"
TWO_FORMS = "write `- metadata` or `- cache: {ttl: 5m}`"


@pytest.mark.parametrize(
    ("policies", "told", "mend"),
    [
        ("[5]", NO_ENTRY, TWO_FORMS),
        ("[{}]", NO_ENTRY, TWO_FORMS),
        ("[{cache: 5m}]", "the settings of cache are not a mapping", "write {cache: {}} for its defaults"),
        (
            "[{cache: {}, retry: {}}]",
            "one entry holds 2 keys: cache, retry",
            "begin each policy with a dash of its own",
        ),
        (
            "[{cache: {}, ttl: 5m}]",
            "one entry holds 2 keys: cache, ttl",
            "indent the settings of cache below it",
        ),
    ],
)
def test_entries_that_are_none(policies: str, told: str, mend: str, tmp_path: Path) -> None:
    path = unpack(FULL.replace("[platform-only, metadata, {error_codes: {}}]", policies), tmp_path)
    errors = [finding for finding in check(path, ENVIRON) if finding.severity == "error"]
    assert [(finding.message, finding.mend) for finding in errors] == [(told, mend)]


def test_a_list_is_read_once_and_its_mistakes_told_once(tmp_path: Path) -> None:
    text = FULL.replace("{error_codes: {}}", "metadata").replace("- cache: {ttl: 5m", "- cache: {ttl: 5")
    errors = [finding for finding in check(unpack(text, tmp_path), ENVIRON) if finding.severity == "error"]
    assert [finding.message for finding in errors if "duration" in finding.message] == ["5 is not a duration"]


def test_without_a_folder_of_lists(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(
        'version: 1\nupstreams: {a: {targets: [{url: "http://127.0.0.1:1"}]}}\n'
        "routes: [{name: a, match: {methods: [GET], path: /}, upstream: a, policies: [metadata]}]\n"
    )
    (finding,) = [finding for finding in check(path, {}) if finding.severity == "error"]
    assert finding.mend == f"write one in {tmp_path}/policies/metadata.yaml"
