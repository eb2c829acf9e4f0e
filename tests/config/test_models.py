from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from gateway.config.models import MatchConfig, RoutesFile
from gateway.config.server import AdminConfig, ServerConfig
from gateway.config.telemetry import MaskConfig, TelemetryConfig, TracesConfig
from gateway.stores import Stores


def test_the_defaults_are_those_of_the_contract() -> None:
    file = RoutesFile(version=1)
    assert file.state == "memory"
    assert file.journal == "sqlite:///journal.db"
    limits = file.server.limits
    assert (limits.head, limits.headers, limits.target, limits.body) == (
        32 * 1024,
        100,
        8 * 1024,
        1024 * 1024,
    )
    assert (limits.head_timeout, limits.body_timeout, limits.idle_timeout, limits.write_timeout) == (
        5,
        10,
        60,
        30,
    )
    assert (limits.connections, limits.connections_per_client) == (10_000, 1_000)
    assert (file.server.drain.delay, file.server.drain.grace, file.server.state_dir) == (5, 30, "var")
    assert file.telemetry.traces.sample is None


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (ServerConfig, {"host": "0.0.0.0"}),
        (ServerConfig, {"host": "::"}),
        (ServerConfig, {"host": "localhost"}),
        (TracesConfig, {"endpoint": "https://otel.example/v1/traces"}),
        (TracesConfig, {"endpoint": "http://x:1"}),
        (MatchConfig, {"methods": ["GET"], "path": "/", "host": "[::1]"}),
        (RoutesFile, {"version": 1, "state": "valkey://127.0.0.1:6379/0"}),
        (RoutesFile, {"version": 1, "journal": "postgresql://db/journal"}),
    ],
)
def test_good_values(model: type[BaseModel], value: dict[str, Any]) -> None:
    model.model_validate(value)


@pytest.mark.parametrize(
    "url",
    [
        "valkey://127.0.0.1:6379",
        "valkey://user:word@valkey.example:6379/0",
        "valkey://[::1]:6379/12",
        "valkeys://valkey.example:6380/1?ssl_cert_reqs=required",
        "unix:///run/valkey.sock",
        "unix:///run/valkey.sock?db=2",
    ],
)
async def test_what_state_may_be_can_be_opened(url: str) -> None:
    stores = Stores(RoutesFile.model_validate({"version": 1, "state": url}).state)
    assert stores.counters.shared is not None
    assert stores.bytes.shared
    await stores.close()


@pytest.mark.parametrize(
    "url",
    ["redis://h:6379/0", "rediss://h", "valkey://", "valkey:///0", "valkey://h", "valkey://h/0",
     "valkey://h:99999", "valkey://h:0", "valkey://h:x", "valkey://h:1/games", "valkey://[::1",
     "unix://run/valkey.sock", "unix:///", "Memory", ""],
)  # fmt: skip
def test_what_state_may_not_be(url: str) -> None:
    with pytest.raises(ValidationError, match=r"write valkey://host:port/database"):
        RoutesFile.model_validate({"version": 1, "state": url})


@pytest.mark.parametrize(
    ("model", "value", "told"),
    [
        (ServerConfig, {"host": "gateway.example"}, "is not an address"),
        (TracesConfig, {"endpoint": "http://user:pass@otel.example"}, "is not a URL"),
        (MatchConfig, {"methods": ["GET"], "path": "/", "host": "games.example:8080"}, "without port"),
        (MatchConfig, {"methods": ["GET"], "path": "/", "host": 5}, "valid string"),
        (MatchConfig, {"methods": [5], "path": "/"}, "valid string"),
        (MatchConfig, {"methods": ["CONNECT"], "path": "/"}, "never forwarded"),
        (RoutesFile, {"version": 1, "journal": "mysql://db"}, "SQLite or PostgreSQL"),
        (AdminConfig, {"token": " "}, "is empty"),
        (AdminConfig, {"token": "s3cret\n"}, "what no header carries"),
        (AdminConfig, {"token": "s3crét"}, "what no header carries"),
        (AdminConfig, {"token": "x", "previous_token": ""}, "is empty"),
        (AdminConfig, {"previous_token": "s3cret"}, "and there is none"),
        (TracesConfig, {"headers": {"api key": "s3cret"}}, "is not a header name"),
        (TracesConfig, {"headers": {"": "s3cret"}}, "is not a header name"),
        (TracesConfig, {"headers": {"x-key": "s3cret\r\nevil: yes"}}, "no control characters"),
        (TracesConfig, {"headers": {"x-key": "s3cret "}}, "no control characters"),
        (TracesConfig, {"headers": {"x-key": "s3cr€t"}}, "Latin-1"),
        (TracesConfig, {"headers": {"Content-Type": "s3cret"}}, "written by the exporter itself"),
        (TracesConfig, {"headers": {"x-key": "s3cret", "X-Key": "s3cret"}}, "is there twice"),
        (MaskConfig, {"parameters": ["playerTag", "-"]}, "is no name"),
        (MaskConfig, {"show": ["playerTag"]}, "nothing masks 'playerTag'"),
        (MaskConfig, {"attributes": ["url.path"]}, "client.address"),
    ],
)
def test_bad_values(model: type[BaseModel], value: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as error:
        model.model_validate(value)
    assert "s3cr" not in str(error.value), "a traceback shows it"


def test_tokens_of_the_admin_port() -> None:
    assert AdminConfig().tokens == ()
    both = AdminConfig.model_validate({"token": "new one", "previous_token": "old"})
    assert both.tokens == ("new one", "old")
    assert "old" not in repr(both)


def test_what_the_observer_is_told() -> None:
    told = TelemetryConfig.model_validate({
        "traces": {"headers": {"x-key": "s3cret"}}, "mask": {"parameters": ["tag"], "show": ["ipAddress"]},
    })  # fmt: skip
    assert told.for_observer()["traces"]["headers"] == {"x-key": "s3cret"}
    assert told.for_observer()["mask"]["parameters"] == ["tag"]
    assert "s3cret" not in repr(told)


def test_addresses_that_may_hold_passwords_are_not_in_reprs() -> None:
    file = RoutesFile(
        version=1, state="valkey://:hunter2@127.0.0.1:6379/0", journal="postgresql://u:hunter2@db/journal"
    )
    assert "hunter2" not in repr(file)
