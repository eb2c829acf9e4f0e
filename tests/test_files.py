"""What is no file is refused at once, and told where it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import check
from gateway.files import FILE_LIMIT, read_file

ROUTES = """\
version: 1
consumers: {platform: {credentials: [{api_key: {file: key}}]}}
upstreams: {games: {targets: [{url: "http://127.0.0.1:9"}]}}
routes:
  - {name: games, match: {methods: [GET], path: /games}, upstream: games, policies: [guard]}
"""
GUARD = "- authentication: {accept: [api_key]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "policies" / "guard.yaml").write_text(GUARD)
    (tmp_path / "key").write_text("a key of the test\n")
    return tmp_path


def test_a_file_is_read_whole(folder: Path) -> None:
    assert read_file(folder / "key") == b"a key of the test\n"
    assert not [finding for finding in check(folder / "routes.yaml", {}) if finding.severity == "error"]


@pytest.mark.parametrize(
    ("name", "place"), [("key", "routes.yaml:2:"), ("routes.yaml", "1:1"), ("policies/guard.yaml", "guard")]
)
def test_a_pipe_is_not_waited_for(folder: Path, name: str, place: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    (finding, *_) = check(folder / "routes.yaml", {})
    assert place in str(finding)
    assert "it is a pipe or a device, not a file" in str(finding)


def test_a_device_without_end_is_not_read() -> None:
    with pytest.raises(OSError, match="pipe or a device"):
        read_file(Path("/dev/zero"))


def test_a_folder_and_a_file_without_bounds(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)
    with (tmp_path / "large").open("wb") as large:
        large.truncate(FILE_LIMIT + 1)  # sparse: it takes no room
    with pytest.raises(OSError, match="more than 64MiB"):
        read_file(tmp_path / "large")


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_a_pipe_for_a_certificate_is_not_waited_for(folder: Path, name: str) -> None:
    os.mkfifo(folder / "pipe")
    paths = {"certificate": "key", "key": "key", "client_ca": "key", name: "pipe"}
    told = ", ".join(f"{key}: {path}" for key, path in paths.items())
    (folder / "routes.yaml").write_text(f"{ROUTES}server: {{tls: {{{told}}}}}\n")
    errors = [str(finding) for finding in check(folder / "routes.yaml", {}) if finding.severity == "error"]
    assert len(errors) == 1
    assert f"server.tls.{name}: the file pipe cannot be read: it is a pipe or a device" in errors[0]


def test_a_name_that_no_file_has(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No file has such a name"):
        read_file(tmp_path / "a\0b")
