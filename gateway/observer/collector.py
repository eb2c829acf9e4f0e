"""One OTLP collector: where it is, and one POST to it.

Settings are OpenTelemetry's environment variables (specification: "OpenTelemetry Protocol Exporter"), each
also in its `_TRACES_` form, which wins. As in opentelemetry-python, timeouts are in seconds.
"""

from __future__ import annotations

import gzip
import http.client
import re
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.util.re import parse_env_headers

RESPONSE_LIMIT = 64 * 1024
"""Bytes of a collector's answer that are read: a partial success is a number and a sentence."""
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 §5.6.2."""
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What a header may hold (RFC 9110 §5.5), in Latin-1."""
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": zlib.compress,
}


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """How to reach a collector."""

    endpoint: str
    """The full URL, `http://127.0.0.1:4318/v1/traces`."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """They may hold a key."""
    timeout_seconds: float = 10.0
    """For one batch with all its retries."""
    compression: str = "none"
    certificate: str = ""
    """File of the certificate authority; the system's where empty."""
    client_certificate: str = ""
    client_key: str = ""

    @classmethod
    def read(
        cls, environment: Mapping[str, str], endpoint: str = "", headers: Mapping[str, str] | None = None
    ) -> CollectorSettings | None:
        """Settings from the environment; `endpoint` and `headers` (from YAML) win. None: traces go nowhere.

        ValueError for values that make no sense.
        """

        def variable(name: str, default: str = "") -> str:
            return (
                environment.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}")
                or environment.get(f"OTEL_EXPORTER_OTLP_{name}")
                or default
            )

        if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return None
        if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
            return None
        if not endpoint:
            endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
        if not endpoint and environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            endpoint = environment["OTEL_EXPORTER_OTLP_ENDPOINT"].removesuffix("/") + "/v1/traces"
        if not endpoint:
            return None
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc:
            raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT is no collector: write http://HOST:4318/v1/traces")
        compression = variable("COMPRESSION", "none").strip().lower()
        if compression not in _COMPRESSORS:
            raise ValueError(f"compression {compression!r} is none of none, gzip and deflate")
        if (protocol := variable("PROTOCOL", "http/protobuf").strip().lower()) != "http/protobuf":
            raise ValueError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL {protocol!r} is not spoken here: send to the collector's "
                "http/protobuf port, most often 4318"
            )
        sent = parse_env_headers(variable("HEADERS"), liberal=True)
        for name, value in sent.items():  # else the thread that sends them would find out
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError("OTEL_EXPORTER_OTLP_HEADERS holds what is no header: write NAME=VALUE,...")
        own = {name.lower(): value for name, value in (headers or {}).items()}
        return cls(
            endpoint,
            {**sent, **own},
            float(variable("TIMEOUT", "10")),
            compression,
            variable("CERTIFICATE"),
            variable("CLIENT_CERTIFICATE"),
            variable("CLIENT_KEY"),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a collector said to one request."""

    status: int
    """0 where it said nothing."""
    retry_after: float | None = None
    """Seconds."""
    rejected: int = 0
    """Spans it did not want (partial success)."""
    message: str = ""

    @property
    def accepted(self) -> bool:
        """The batch is delivered, perhaps in part."""
        return 200 <= self.status < 300

    @property
    def temporary(self) -> bool:
        """The same batch may be sent again: no answer, 429, 502, 503, 504 (OTLP specification)."""
        return self.status in (0, 429, 502, 503, 504)


class Collector:
    """A keep-alive connection to a collector. Blocking: it belongs to the export thread."""

    def __init__(self, settings: CollectorSettings) -> None:
        self.settings = settings
        self._url = urlsplit(settings.endpoint)
        self._target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        self._headers = {"content-type": "application/x-protobuf", "user-agent": "provider-gateway"}
        if settings.compression != "none":
            self._headers["content-encoding"] = settings.compression
        self._headers.update(settings.headers)
        self._compress = _COMPRESSORS[settings.compression]
        self._connection: http.client.HTTPConnection | None = None

    def post(self, request: bytes, timeout_seconds: float) -> Verdict:
        """Send an ExportTraceServiceRequest. Never raises for what the network or the collector does."""
        body = self._compress(request)
        reused = self._connection is not None
        try:
            return self._post(body, timeout_seconds)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not reused or isinstance(error, TimeoutError):
                return Verdict(0, message=f"{type(error).__name__}: {error}")
        try:  # the collector had closed the idle connection
            return self._post(body, timeout_seconds)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Verdict(0, message=f"{type(error).__name__}: {error}")

    def _post(self, body: bytes, timeout_seconds: float) -> Verdict:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect(timeout_seconds)
        connection.timeout = timeout_seconds
        if connection.sock is not None:
            connection.sock.settimeout(timeout_seconds)
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        answer = response.read(RESPONSE_LIMIT)
        if not response.isclosed():  # more than any collector has to say
            self.close()
        retry_after = _retry_after(response.headers.get("retry-after"))
        if not 200 <= response.status < 300:
            return Verdict(response.status, retry_after, message=response.reason)
        rejected, message = _partial_success(answer)
        return Verdict(response.status, retry_after, rejected, message)

    def _connect(self, timeout_seconds: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout_seconds)
        settings = self.settings
        context = ssl.create_default_context(cafile=settings.certificate or None)
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, settings.client_key or None)
        return http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=context)

    def close(self) -> None:
        """Hang up; the next `post` connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _retry_after(value: str | None) -> float | None:
    """Seconds in a `Retry-After` of either form (RFC 9110 §10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _partial_success(answer: bytes) -> tuple[int, str]:
    """(spans rejected, why), from an ExportTraceServiceResponse; any other body is plain success."""
    response = ExportTraceServiceResponse()
    try:
        response.ParseFromString(answer)
    except Exception:  # noqa: BLE001 - protobuf's DecodeError differs between its implementations
        return 0, ""
    return response.partial_success.rejected_spans, response.partial_success.error_message
