"""Tells when a file of the configuration changed on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import watchfiles

from gateway.config import Config

Signature = dict[str, tuple[int, int, int]]


def folders_of(config: Config) -> set[Path]:
    """Where the files of a configuration lie, and where policy lists may appear."""
    folders = {path.parent for path in config.files} | {config.path.resolve().parent / "policies"}
    return {folder for folder in folders if folder.is_dir()}


def signature(config: Config) -> Signature:
    """Inode, modification time and size of each file: a turned symbolic link (Kubernetes) shows too."""
    found = {}
    lists = (config.path.resolve().parent / "policies").glob("*.y*ml")
    for path in {*config.files, *lists}:
        with contextlib.suppress(OSError):  # gone: that is a change as well
            stat = path.stat()
            found[str(path)] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


async def watch(
    config: Callable[[], Config], changed: Callable[[], Awaitable[object]], seen: Signature
) -> None:
    """Call `changed` after every change, for ever; `config` gives the configuration that serves.

    `seen` is what the files were like when that was read: they may have changed before this watch began.
    They are looked at every second as well, for file systems that tell nothing.
    """
    while True:
        folders = folders_of(config())
        changes = watchfiles.awatch(
            *folders, recursive=False, step=50, debounce=200, rust_timeout=1000, yield_on_timeout=True
        )
        async for _ in changes:
            while (now := signature(config())) != seen:  # else it was another file of the folder
                seen = now
                await changed()
            if folders_of(config()) != folders:
                break
