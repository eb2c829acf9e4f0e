from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.upstream.settings import TargetConfig, TlsConfig, UpstreamConfig

PIN = "sha256/4a6cPehI7OG6cuDZka5NDZ7FR8a60d3auda+sKfg4Ng="


@pytest.mark.parametrize(
    ("url", "kept", "origin"),
    [
        ("http://127.0.0.1:9201", "http://127.0.0.1:9201", "http://127.0.0.1:9201"),
        ("https://API.Aurora.example/v1/", "https://api.aurora.example/v1", "https://api.aurora.example"),
        ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b", "http://[::1]:8080"),
    ],
)
def test_urls(url: str, kept: str, origin: str) -> None:
    target = TargetConfig(url=url)
    assert (target.url, target.origin) == (kept, origin)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://a", "begin it with"),
        ("127.0.0.1:80", "begin it with"),
        ("http://", "no host"),
        ("http://a:0", "no host"),
        ("http://a:99999", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://user:secret@a", "credentials"),
        ("http://a/?x=1", "query"),
        ("http://a/#x", "fragment"),
        ("http://a/b c", "characters"),
        ("http://a/\r\nx", "characters"),
        ("http://ä", "characters"),
    ],
)
def test_urls_that_are_none(url: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        TargetConfig(url=url)
    assert "secret" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": []}, "at least 1"),
        ({"targets": [{"url": "http://a"}, {"url": "http://A/x"}]}, "listed twice"),
        ({"targets": [{"url": "http://a"}], "tls": {"ca": "x"}}, "no target is https"),
        ({"targets": [{"url": "https://a"}], "tls": {"verify": False}}, "no upstream goes unverified"),
        ({"targets": [{"url": "https://a"}], "tls": {"certificate": "x"}}, "belong together"),
        ({"targets": [{"url": "http://a"}], "tls": {"pins": [PIN]}}, "no target is https"),
        ({"targets": [{"url": "https://a"}], "tls": {"pins": [PIN[7:]]}}, "is not a pin"),
        ({"targets": [{"url": "https://a"}], "tls": {"pins": [PIN.replace("256", "1")]}}, "is not a pin"),
        ({"targets": [{"url": "https://a"}], "tls": {"pins": [PIN[:-1]]}}, "is not a pin"),
        ({"targets": [{"url": "https://a"}], "tls": {"pins": ["sha256/AAAA"]}}, "is not a pin"),
        ({"targets": [{"url": "https://a"}], "tls": {"pins": ["sha256/ä"]}}, "is not a pin"),
        ({"targets": [{"url": "http://a"}], "timeout": {"total": 5}}, "not a duration"),
        ({"targets": [{"url": "http://a"}], "timeout": {"total": "0s"}}, "greater than 0"),
        ({"targets": [{"url": "http://a"}], "timeout": {"connect": "31s"}}, "connect may take 31s"),
        ({"targets": [{"url": "http://a"}], "timeout": {"response": "3s", "total": "2s"}}, "ends after 2s"),
        ({"targets": [{"url": "http://a"}], "health": {"path": "health"}}, "pattern"),
        ({"targets": [{"url": "http://a"}], "retries": 3}, "Extra inputs"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UpstreamConfig.model_validate(settings)


def test_it_describes_itself() -> None:
    config = UpstreamConfig.model_validate(
        {
            "targets": [{"url": "https://a"}, {"url": "https://b", "weight": 2}],
            "balance": "least_request",
            "http2": True,
            "health": {"path": "/health", "every": "5s"},
            "timeout": {"connect": "500ms", "response": "5s", "total": "10s"},
        }
    )
    assert config.describe() == (
        "calls https://a, https://b (fewest calls first), over HTTP/2, probed at /health every 5s; "
        "connects within 500ms, answers begin within 5s and end within 10s"
    )
    turns = UpstreamConfig.model_validate({"targets": [{"url": "http://a"}, {"url": "http://b"}]})
    assert "(in turn)" in turns.describe()


def test_a_changed_key_shows_without_being_shown() -> None:
    one, two = (
        TlsConfig.model_validate({"certificate": "c", "key": key}) for key in ("secret-1", "secret-2")
    )
    assert one.model_dump_json() != two.model_dump_json()
    assert "secret" not in one.model_dump_json() + repr(one)
    assert '"key":null' in TlsConfig().model_dump_json()


def test_its_schema_can_be_published() -> None:
    schema = UpstreamConfig.model_json_schema()
    assert schema["properties"]["targets"]["minItems"] == 1


@pytest.mark.parametrize(
    "url",
    ["http://u:hush@127.0.0.1:99999/x", "http://127.0.0.1/x?token=hush", "ftp://u:hush@a", "http://a b?hush"],
)
def test_what_may_be_secret_in_a_url_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|query") as refused:
        TargetConfig(url=url)
    assert "hush" not in refused.value.errors()[0]["msg"]  # type: ignore[attr-defined]


def test_the_files_of_tls_are_told() -> None:
    pem = "-----BEGIN CERTIFICATE-----\n"
    assert TlsConfig().files == ()
    assert TlsConfig(ca="ca.pem", certificate=pem, key="key.pem").files == ("ca.pem", "key.pem")
