"""Files change in many ways; each is noticed, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import Config, load
from gateway.watching import Signature, folders_of, signature, watch

CONFIG = """\
version: 1
upstreams:
  nobody: {targets: [{url: "http://127.0.0.1:9"}]}
routes:
  - {name: all, match: {methods: [GET], path: "/*"}, upstream: nobody}
"""
LIST = "- timeout: {total: 5s}\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "routes.yaml").write_text(CONFIG)
    return load(tmp_path / "routes.yaml", {})


class Watched:
    """Counts reloads; the configuration that serves may be another one after each."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reloads: asyncio.Queue[None] = asyncio.Queue()

    async def changed(self) -> None:
        self.config = load(self.config.path, {})
        self.reloads.put_nowait(None)

    async def reload(self) -> None:
        """Wait for one."""
        await asyncio.wait_for(self.reloads.get(), 10)


@asynccontextmanager
async def watching(config: Config, seen: Callable[[Config], Signature] = signature) -> AsyncIterator[Watched]:
    watched = Watched(config)
    task = asyncio.create_task(watch(lambda: watched.config, watched.changed, seen(config)))
    yield watched
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_change_is_noticed_and_other_files_are_not(config: Config, tmp_path: Path) -> None:
    async with watching(config) as watched:
        (tmp_path / "notes.txt").write_text("nothing")
        config.path.write_text(CONFIG + "# more\n")
        await watched.reload()
        assert watched.reloads.empty()


async def test_a_file_put_in_place_of_another_is_noticed(config: Config, tmp_path: Path) -> None:
    async with watching(config) as watched:
        written = tmp_path / "written"
        written.write_text(CONFIG)  # the same bytes; whether anything changed is for the reload to say
        written.replace(config.path)
        await watched.reload()


async def test_what_changed_before_the_watch_began_is_noticed(config: Config) -> None:
    def before(config: Config) -> Signature:
        seen = signature(config)
        config.path.write_text(CONFIG + "# while the gateway started\n")
        return seen

    async with watching(config, before) as watched:
        await watched.reload()


async def test_a_folder_of_policies_that_appears_is_watched(config: Config, tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    async with watching(config) as watched:
        policies.mkdir()
        (policies / "quick.yaml").write_text(LIST)
        await watched.reload()
        config.path.write_text(CONFIG.replace("upstream: nobody", "upstream: nobody, policies: [quick]"))
        await watched.reload()
        (policies / "quick.yaml").write_text(LIST.replace("5s", "15s"))
        await watched.reload()
        (policies / "other.yml").write_text(LIST)
        await watched.reload()


async def test_a_turned_symbolic_link_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "routes.yaml").write_text(CONFIG)
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "routes.yaml").symlink_to("data/routes.yaml")
    async with watching(load(tmp_path / "routes.yaml", {})) as watched:
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        await watched.reload()


def test_only_folders_that_exist_are_watched(config: Config, tmp_path: Path) -> None:
    assert folders_of(config) == {tmp_path}
    (tmp_path / "policies").mkdir()
    assert folders_of(config) == {tmp_path, tmp_path / "policies"}
    config.path.unlink()
    assert signature(config) == {}
