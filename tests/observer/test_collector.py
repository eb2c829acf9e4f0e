"""Where the collector is, and what it may say."""

from __future__ import annotations

import socket
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from gateway.observer.collector import Collector, CollectorSettings, Verdict
from gateway.observer.otlp import Encoder
from gateway.observer.spans import SpanMaker
from tests.observer.support import Receiver, make_call

REQUEST = Encoder({}, "s").request([Encoder({}, "s").spans(SpanMaker().spans(make_call()))])


def settings(endpoint: str, **more: Any) -> CollectorSettings:
    return CollectorSettings(endpoint, **more)


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base/"}, "http://c:4318/base/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"},
            "https://t/x",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_endpoint_is_where_the_environment_says(
    environment: dict[str, str], endpoint: str | None
) -> None:
    found = CollectorSettings.read(environment)
    assert (found.endpoint if found else None) == endpoint


def test_yaml_wins_over_the_environment() -> None:
    found = CollectorSettings.read({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "http://yaml:4318/v1/traces")
    assert found is not None
    assert found.endpoint == "http://yaml:4318/v1/traces"


def test_everything_else_comes_from_the_environment() -> None:
    found = CollectorSettings.read(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b,x=1",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2.5",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "ca.pem",
        }
    )
    assert found == CollectorSettings(
        "https://c/v1/traces", {"api-key": "a b", "x": "1"}, 2.5, "gzip", certificate="ca.pem"
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "is no collector"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:s3cret@c"}, "is no collector"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
                "OTEL_EXPORTER_OTLP_HEADERS": "a=s3cret%0d%0ab%3A%20c",
            },
            "holds what is no header",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a%20b=s3cret"},
            "holds what is no header",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"},
            "compression 'zip'",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "'grpc' is not spoken here",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
            "could not convert",
        ),
    ],
)
def test_what_makes_no_sense_is_a_value_error(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        CollectorSettings.read(environment)
    assert "s3cret" not in str(error.value)


def test_headers_of_the_configuration_win_and_are_shown_in_no_repr() -> None:
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=old,x=1"}
    found = CollectorSettings.read(environment, "http://c", {"Api-Key": "s3cret"})
    assert found is not None
    assert found.headers == {"api-key": "s3cret", "x": "1"}
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_a_request_arrives_with_its_headers(compression: str) -> None:
    with Receiver() as receiver:
        endpoint = receiver.endpoint + "?tenant=1"
        collector = Collector(settings(endpoint, headers={"api-key": "k"}, compression=compression))
        assert collector.post(REQUEST, 5) == Verdict(200)
        assert collector.post(REQUEST, 5).accepted  # over the same connection
        collector.close()
        assert receiver.paths == ["/v1/traces?tenant=1"] * 2
        assert receiver.headers[0]["api-key"] == "k"
        assert receiver.headers[0]["content-type"] == "application/x-protobuf"
        assert len(receiver.spans) == 2 * len(SpanMaker().spans(make_call()))


@pytest.mark.parametrize(
    ("status", "headers", "temporary", "retry_after"),
    [
        (503, {"Retry-After": "7"}, True, 7.0),
        (429, {"Retry-After": formatdate(time.time() - 60, usegmt=True)}, True, 0.0),
        (502, {"Retry-After": "soon"}, True, None),
        (504, {}, True, None),
        (400, {}, False, None),
        (301, {"Location": "http://127.0.0.1:1/"}, False, None),
    ],
)
def test_refusals_say_whether_to_come_again(
    status: int, headers: dict[str, str], temporary: bool, retry_after: float | None
) -> None:
    with Receiver(lambda _: (status, headers, b"")) as receiver:
        collector = Collector(settings(receiver.endpoint))
        verdict = collector.post(REQUEST, 5)
        collector.close()
    assert (verdict.status, verdict.accepted, verdict.temporary) == (status, False, temporary)
    assert verdict.retry_after == retry_after


def test_a_partial_success_tells_how_many_were_rejected() -> None:
    partial = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
    )
    bodies = [partial.SerializeToString(), b"\xff\xff", b"x" * 100_000]
    with Receiver(lambda call: (200, {}, bodies[call - 1])) as receiver:
        collector = Collector(settings(receiver.endpoint))
        assert collector.post(REQUEST, 5) == Verdict(200, None, 3, "too old")
        assert collector.post(REQUEST, 5) == Verdict(200)
        assert collector.post(REQUEST, 5) == Verdict(200)
        assert collector._connection is None  # rather than reading what no collector says
        collector.close()


def test_a_closed_idle_connection_is_made_anew_once() -> None:
    def cut() -> None:
        assert collector._connection is not None
        assert collector._connection.sock is not None
        collector._connection.sock.shutdown(socket.SHUT_RDWR)

    with Receiver() as receiver:
        collector = Collector(settings(receiver.endpoint))
        assert collector.post(REQUEST, 5).accepted
        cut()
        assert collector.post(REQUEST, 5).accepted
        cut()
    assert collector.post(REQUEST, 5).status == 0  # nobody listens any more
    collector.close()


def test_silence_ends_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        collector = Collector(settings(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        verdict = collector.post(REQUEST, 0.05)
        collector.close()
    assert (verdict.status, verdict.temporary) == (0, True)
    assert "timed out" in verdict.message


def test_https_is_verified_and_may_show_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("gateway").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with Receiver() as receiver:
        receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
        endpoint = receiver.endpoint.replace("http:", "https:")
        trusted = Collector(
            settings(
                endpoint,
                certificate=str(tmp_path / "ca.pem"),
                client_certificate=str(tmp_path / "client.pem"),
            )
        )
        assert trusted.post(REQUEST, 5).accepted
        trusted.close()
        untrusted = Collector(settings(endpoint))
        verdict = untrusted.post(REQUEST, 5)
        untrusted.close()
    assert verdict.status == 0
    assert "CERTIFICATE_VERIFY_FAILED" in verdict.message
