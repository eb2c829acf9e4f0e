from __future__ import annotations

import pickle
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import trustme

from gateway.config import Config, ConfigError, check, load
from gateway.mistakes import Mistake
from gateway.policy import Policy, PolicyConfig
from gateway.routing import Router
from gateway.services import Services
from tests.config.cases import ENVIRON, FULL, unpack


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return unpack(FULL, tmp_path)


def test_the_contract_is_read(full: Path) -> None:
    config = load(full, ENVIRON)
    assert list(config.upstreams) == ["aurora", "platform"]
    assert config.upstreams["aurora"].timeout.connect == 0.5
    assert config.server.limits.body == 2 * 1024 * 1024
    assert config.server.drain.delay == 1.0
    assert [policy.config.name for policy in config.policies["aurora-games"]] == [
        "authentication", "rate_limit", "cache", "circuit_breaker", "retry", "timeout", "error_codes",
    ]  # fmt: skip
    assert [policy.where for policy in config.policies["aurora-games"]][:2] == [
        "policies/platform-only.yaml:1",
        "policies/metadata.yaml:1",
    ]
    assert config.policies["aurora-games"][-1].where == f"routes.yaml:{_line(full, 'error_codes')}"
    assert config.policies["aurora-games"][-1].list_name == ""
    assert config.policies["aurora-games"][0].list_name == "platform-only"
    assert config.places["aurora-games"] == f"routes.yaml:{_line(full, 'name: aurora-games')}"
    assert config.beside("var") == full.parent / "var"
    assert set(config.callers) == {"platform", "aurora"}
    assert config.callers["aurora"].kind == "provider"
    assert config.files == (
        full,
        full.parent / "key.txt",
        *sorted((full.parent / "policies").glob("*.yaml"), reverse=True),
    )


def _line(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_what_has_no_effect_is_said(full: Path) -> None:
    said = [finding.message for finding in load(full, ENVIRON).warnings]
    for key in ("dialect", "mode", "accept", "accounts", "launch_hosts", "quota"):
        assert f"providers.aurora.{key} is read but has no effect in this version" in said
    assert "journal is read but has no effect in this version" in said
    assert all(finding.severity == "warning" for finding in check(full, ENVIRON))


def test_no_secret_is_shown(full: Path) -> None:
    config = load(full, ENVIRON)
    for text in (
        repr(config),
        str(config.consumers),
        str(config.providers),
        str(config.warnings),
        str(config.policies),
    ):
        assert "hunter2" not in text


def test_a_configuration_can_be_handed_to_workers(full: Path) -> None:
    config = load(full, ENVIRON)
    copy: Config = pickle.loads(pickle.dumps(config))
    assert copy.fingerprint == config.fingerprint
    assert copy.policies == config.policies
    assert Router(copy).find("GET", "/aurora/games", "")[0].name == "aurora-games"


def test_the_fingerprint_tells_behaviour_apart(full: Path) -> None:
    before = load(full, ENVIRON).fingerprint
    assert load(full, ENVIRON).fingerprint == before
    full.write_text("# a comment changes nothing\n" + full.read_text())
    assert load(full, ENVIRON).fingerprint == before
    assert load(full, {**ENVIRON, "PLATFORM_API_KEY": "rotated"}).fingerprint != before


def test_files_of_certificates_for_upstreams_are_watched_and_told_apart(tmp_path: Path) -> None:
    authority = trustme.CA()
    policy = "{upstream_auth: {client_certificate: {certificate: own.pem, key: {file: key.txt}, ca: ca.pem}}}"
    (tmp_path / "routes.yaml").write_text(
        "version: 1\n"
        "upstreams: {it: {targets: [{url: 'https://it.example'}]}}\n"
        f"routes: [{{name: it, match: {{methods: [GET], path: /it}}, upstream: it, policies: [{policy}]}}]\n"
    )
    (tmp_path / "key.txt").write_text("own.key\n")
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())

    def renew() -> None:
        own = authority.issue_cert("gateway.example")
        (tmp_path / "own.pem").write_bytes(own.cert_chain_pems[0].bytes())
        (tmp_path / "own.key").write_bytes(own.private_key_pem.bytes())

    renew()
    before = load(tmp_path / "routes.yaml", {})
    assert {path.name for path in before.files} == {"routes.yaml", "key.txt", "own.pem", "own.key", "ca.pem"}
    assert load(tmp_path / "routes.yaml", {}).fingerprint == before.fingerprint
    renew()
    assert load(tmp_path / "routes.yaml", {}).fingerprint != before.fingerprint


def test_routes_get_what_the_file_says(full: Path) -> None:
    router = Router(load(full, ENVIRON))
    games, _ = router.find("GET", "/aurora/games", "gateway.example")
    assert (games.upstream, games.provider, games.body_limit) == ("aurora", "aurora", 2 * 1024 * 1024)
    assert games.target("/aurora/games", {}, "page=1") == "/v1/games?page=1"
    assert len(games.policies) == len(games.marks) == 7
    upload, params = router.find("POST", "/callbacks/aurora/bet", "wallet.example:443")
    assert (upload.body_limit, upload.require_tls, upload.stream) == (64 * 1024 * 1024, True, True)
    assert upload.where.startswith("routes.yaml:")
    assert params == {"*": "bet"}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "routes.yaml", {})
    (finding,) = error.value.findings
    assert finding.message == "the file cannot be read: no such file or directory"
    assert finding.mend == "say where it is with --config"
    (finding,) = check(tmp_path, {})
    assert finding.message == "the file cannot be read: is a directory"


def test_a_policy_list_that_cannot_be_read(full: Path) -> None:
    (full.parent / "policies" / "metadata.yaml").unlink()
    (full.parent / "policies" / "metadata.yaml").mkdir()
    assert "the file cannot be read: is a directory" in [finding.message for finding in check(full, ENVIRON)]


def test_a_policy_list_that_is_no_yaml(full: Path) -> None:
    (full.parent / "policies" / "metadata.yaml").write_text("- cache: [\n")
    errors = [finding for finding in check(full, ENVIRON) if finding.severity == "error"]
    assert [finding.file for finding in errors] == [str(full.parent / "policies" / "metadata.yaml")]


def test_unused_things_are_warned_about(full: Path) -> None:
    (full.parent / "policies" / "spare.yaml").write_text("- timeout: {total: 1s}\n")
    text = full.read_text().replace(
        "upstreams:\n", 'upstreams:\n  spare: {targets: [{url: "http://10.0.0.1"}]}\n'
    )
    full.write_text(text)
    said = [finding.message for finding in check(full, ENVIRON)]
    assert "no route uses the policy list 'spare'" in said
    assert "no route uses the upstream 'spare'" in said
    assert "upstream spare is reached over plain HTTP: http://10.0.0.1" in said


def test_no_routes_are_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text("version: 1\nroutes: []\n")
    (finding,) = check(path, {})
    assert finding.message == "there are no routes: every call is answered with 404"
    assert load(path, {}).routes == ()


def test_mistakes_in_the_policies_of_a_wrong_route_are_told_too(full: Path) -> None:
    text = (
        full.read_text()
        .replace("rewrite: /v1/games", "rewite: /v1/games")
        .replace("{error_codes: {}}", "{cash: {}}")
    )
    full.write_text(text)
    said = [finding.message for finding in check(full, ENVIRON) if finding.severity == "error"]
    assert said == ["unknown key 'rewite'", "there is no policy 'cash'"]


class _Unbuildable(PolicyConfig):
    name = "timeout"

    def build(self, services: Services) -> Policy:
        raise Mistake(f"{services.route.name} is not to my liking", "choose another")


def test_what_only_building_finds_is_told_at_its_place(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.policies import POLICIES

    monkeypatch.setitem(POLICIES, "timeout", _Unbuildable)
    (full.parent / "policies" / "metadata.yaml").write_text("- timeout: {}\n")
    errors = [finding for finding in check(full, ENVIRON) if finding.severity == "error"]
    assert len(errors) == 1
    assert errors[0].message == (
        "on route aurora-games, timeout cannot be built: aurora-games is not to my liking"
    )
    assert errors[0].mend == "choose another"
    assert errors[0].file.endswith("policies/metadata.yaml")


def test_ten_thousand_routes_load_in_seconds(tmp_path: Path) -> None:
    text = unpack(FULL, tmp_path).read_text()
    route = (
        "  - name: r%d\n    match: {methods: [GET], path: /r%d/:id}\n"
        "    upstream: aurora\n    policies: [platform-only, metadata]\n"
    )
    (tmp_path / "routes.yaml").write_text(text + "".join(route % (n, n) for n in range(10_000)))
    begun = perf_counter()
    config: Any = load(tmp_path / "routes.yaml", ENVIRON)
    assert len(config.routes) == 10_002
    assert perf_counter() - begun < 30


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, {})
    assert finding.message == "the file cannot be read: is a directory"
    assert finding.mend == f"name the file in it, like {tmp_path / 'routes.yaml'}"
