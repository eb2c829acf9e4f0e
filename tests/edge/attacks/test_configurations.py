"""Bad files while the gateway runs: the good configuration serves on, nothing of a bad one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.edge.attacks.raw import get, told
from tests.scenarios.origin import Origin
from tests.scenarios.running import Gateway, gateway, resident_bytes

CONFIG = """\
version: 1
consumers:
  platform: {credentials: [{api_key: a-key-of-the-platform}]}
upstreams:
  origin: {targets: [{url: {env: ORIGIN_URL}}]}
routes:
  - name: told
    match: {methods: [GET], path: /told}
    upstream: origin
    policies: [shown]
server: {drain: {delay: 0s, grace: 2s}}
"""
SHOWN = "- headers: {response: {set: {x-shown: old}}}\n"
NEXT = CONFIG.replace(
    "routes:\n", "routes:\n  - {name: added, match: {methods: [GET], path: /added}, upstream: origin}\n"
)
"""The next configuration, which would be good: a route more; its list says `new`."""
Files = dict[str, str | bytes | None]
"""Path → content; None for a file that is gone."""


def whole(text: str | bytes | None) -> Files:
    return {"routes.yaml": text}


def instead(old: str, new: str) -> Callable[[], Files]:
    assert old in NEXT, old
    return lambda: whole(NEXT.replace(old, new))


def behind(text: str) -> Callable[[], Files]:
    return lambda: whole(NEXT + text)


def listed(text: str | bytes | None) -> Callable[[], Files]:
    return lambda: {"routes.yaml": NEXT, "policies/shown.yaml": text}


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BAD: dict[str, Callable[[], Files]] = {
    "an empty file": lambda: whole(""),
    "a comment alone": lambda: whole("# nothing yet\n"),
    "half of the file": lambda: whole(NEXT[: NEXT.index("/told}") + 3]),
    "the file without its end": lambda: whole(NEXT[: NEXT.index("ORIGIN_URL")]),
    "zeros": lambda: whole(b"\0" * 4096),
    "bytes that are no text": lambda: whole(NEXT.encode() + b"# \xff\xfe\n"),
    "another encoding": lambda: whole(NEXT.encode("utf-16")),
    "an unclosed bracket": behind("\nstate: [\n"),
    "a tab": behind("telemetry:\n\tlogs: {}\n"),
    "two documents": behind("---\nversion: 1\n"),
    "a list": lambda: whole("- version: 1\n"),
    "a key twice": behind("version: 1\n"),
    "a section twice": behind("routes: []\n"),
    "an anchor and its alias": instead(
        "  origin: {", "  other: &a {targets: [{url: 'http://a'}]}\n  more: *a\n  origin: {"
    ),
    "aliases that unfold to a hundred gigabytes": lambda: whole(BOMB + NEXT),
    "a merge key": instead("    upstream: origin\n", "    upstream: origin\n    <<: {stream: true}\n"),
    "a tag that runs a command": lambda: whole(
        NEXT.replace("version: 1", 'version: !!python/object/apply:os.system ["touch planted"]')
    ),
    "brackets 100,000 deep": lambda: whole(NEXT + "state: " + "[" * 100_000),
    "indentation 2,000 deep": lambda: whole(
        NEXT + "state:\n" + "".join(" " * n + f"a{n}:\n" for n in range(1, 2000))
    ),
    "a number of 100,000 digits": instead("version: 1", "version: " + "1" * 100_000),
    "a version of the future": instead("version: 1", "version: 2"),
    "no version": instead("version: 1\n", ""),
    "an unknown section": behind("plugins: {}\n"),
    "an unknown key": instead("path: /told}", "path: /told, regex: .*}"),
    "an unknown upstream": instead("    upstream: origin\n", "    upstream: orgin\n"),
    "an unknown list": instead("[shown]", "[shwon]"),
    "an unknown policy": instead("[shown]", "[shown, {cash: {}}]"),
    "two policies in one entry": instead("[shown]", "[{cache: {}, retry: {}}]"),
    "two routes that tie": instead("path: /added", "path: /told"),
    "two routes of a name": instead("name: added", "name: told"),
    "a time without a unit": instead("delay: 0s", "delay: 0"),
    "a size that is negative": instead("server: {", "server: {limits: {body: -1KiB}, "),
    "a network that is none": instead("platform: {", "platform: {networks: [10.0.0.0/33], "),
    "a cache outside of authentication": instead(
        "[shown]", "[{cache: {}}, {authentication: {accept: [api_key], consumers: [platform]}}]"
    ),
    "an unknown consumer": instead(
        "[shown]", "[{authentication: {accept: [api_key], consumers: [plattform]}}]"
    ),
    "a variable that is not set": instead("a-key-of-the-platform", "{env: NOBODY_SETS_THIS}"),
    "a secret whose file is missing": instead("a-key-of-the-platform", "{file: secrets/missing}"),
    "a secret that is empty": instead("a-key-of-the-platform", "''"),
    "a URL with a password": instead("{env: ORIGIN_URL}", '"http://user:password@127.0.0.1:9"'),
    "a URL of another scheme": instead("{env: ORIGIN_URL}", '"file:///etc/passwd"'),
    "a rewrite of nobody": instead("    upstream: origin\n", "    upstream: origin\n    rewrite: /:nobody\n"),
    "a path with a traversal": instead("path: /told", "path: /told/../secret"),
    "a certificate that is missing": instead("server: {", "server: {tls: {certificate: a.pem, key: b.pem}, "),
    "a state that is none": behind("state: mongodb://127.0.0.1\n"),
    "no routes.yaml": lambda: whole(None),
    "a list that is no list": listed("headers: {}\n"),
    "a list with a mistake": listed("- headers: {response: {set: {x-shown: new}}}\n- cache: {ttl: 5}\n"),
    "a list that names a list": listed("- shown\n"),
    "a list that is gone": listed(None),
    "a list that is no text": listed(b"- headers: \xff\n"),
    "an empty key in a list": listed("- {}\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with Origin() as origin, gateway(CONFIG, {"shown": SHOWN}, {"ORIGIN_URL": origin.url}) as made:
        yield made


def put(running: Gateway, files: Files) -> None:
    """Write files as they are, each at once; one that is None goes."""
    for name, content in files.items():
        path = running.folder / name
        if content is None:
            path.unlink()
            continue
        written = path.with_suffix(".written")
        written.write_bytes(content if isinstance(content, bytes) else content.encode())
        written.replace(path)


def reload(running: Gateway) -> httpx.Response:
    return running.ask("/api/reload", json={})


def status(running: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = running.ask("/api/status").json()
    return found


@pytest.mark.attack(34)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_configuration_changes_nothing(name: str, running: Gateway) -> None:
    before, lines = status(running), len(running.lines)
    bad = BAD[name]()
    shown: Files = {"policies/shown.yaml": SHOWN.replace("old", "new")}
    # What is bad goes first: the gateway watches the files, and what is good so far would serve.
    put(running, bad | {name: text for name, text in shown.items() if name not in bad})
    began = time.monotonic()
    try:
        answer = reload(running)
        assert answer.status_code == 422, answer.text
        assert time.monotonic() - began < 5
        assert answer.json()["error"], "it must say what is wrong"
        after = status(running)
        for key in ("generation", "fingerprint", "ready"):
            assert after[key] == before[key]
        assert after["last_reload_error"]
        assert [worker["generation"] for worker in after["workers"]] == [before["generation"]]
        said = told(running.port, get(b"/told"))
        assert (said.status, said.fields["x-shown"], said.body) == (200, "old", b"the whole")
        assert told(running.port, get(b"/added")).status == 404, "half of it serves"
        assert told(running.port, get(b"/told/../secret")).status == 404
        loud = [line for line in running.lines[lines:] if "reload refused" in line]
        assert any('"level": "error"' in line or "ERROR" in line for line in loud)
        assert running.ask("/readyz").status_code == 200
    finally:
        put(running, {"routes.yaml": CONFIG, "policies/shown.yaml": SHOWN})
        assert reload(running).status_code == 200
    assert status(running)["last_reload_error"] == ""
    assert not any(Path(folder, "planted").exists() for folder in (running.folder, Path.cwd()))


def test_a_good_one_is_taken_after_all_of_these(running: Gateway) -> None:
    [worker] = running.worker_pids()
    put(running, {"routes.yaml": NEXT, "policies/shown.yaml": SHOWN.replace("old", "new")})
    assert reload(running).status_code == 200
    assert told(running.port, get(b"/told")).fields["x-shown"] == "new"
    assert told(running.port, get(b"/added")).status == 200
    assert resident_bytes(worker) < 300 << 20
