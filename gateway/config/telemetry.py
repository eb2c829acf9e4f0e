"""What `routes.yaml` may say about what the gateway tells: `telemetry:`."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from gateway.config.server import Settings
from gateway.mistakes import Mistake
from gateway.observer.masking import MaskSettings, bare, is_personal
from gateway.units import Percent, Secret


def _is_receiver(url: str) -> bool:
    if re.match(r"https?://[^/@\s]+(/\S*)?$", url) is None:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket left open, a port that is none
        return False


_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 §5.6.2."""
_EXPORTERS_OWN = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive", "te",
    "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


class TracesConfig(Settings):
    """Where traces go."""

    endpoint: str | None = None
    """URL of an OTLP http/protobuf receiver, `http://127.0.0.1:4318/v1/traces`; kept in memory without it."""
    headers: dict[str, Secret] = Field(default={})
    """Headers of the export, for a collector that wants a key."""
    sample: Percent | None = None
    """The share of new traces that is recorded; without it `OTEL_TRACES_SAMPLER` decides, else all are."""

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        seen: set[str] = set()
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise Mistake(f"{name!r} is not a header name", "use letters, digits and -", at=(name,))
            if name.lower() in _EXPORTERS_OWN:
                raise Mistake(f"{name} is written by the exporter itself", "leave it out", at=(name,))
            if name.lower() in seen:
                raise Mistake(f"{name} is there twice", "header names know no upper case", at=(name,))
            seen.add(name.lower())
            text = value.get_secret_value()
            if (
                text != text.strip(" \t")
                or any(char < " " and char != "\t" for char in text)
                or "\x7f" in text
            ):
                mend = "remove spaces, line breaks and the like around and in it"
                raise Mistake(
                    "a header value holds no control characters or spaces around it", mend, at=(name,)
                )
            if any(char > "\xff" for char in text):
                mend = "percent-encode the others"
                raise Mistake("a header value holds Latin-1 characters only", mend, at=(name,))
        return headers

    @field_validator("endpoint")
    @classmethod
    def _url(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not _is_receiver(endpoint):
            raise Mistake("traces.endpoint is not a URL", "write it like http://127.0.0.1:4318/v1/traces")
        return endpoint


class LogsConfig(Settings):
    """What is written to standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages shown."""
    format: Literal["json", "text"] = "json"
    """One JSON object per line, or text for people."""
    access: bool = True
    """Write a line for every call. Without it only messages are written; traces and metrics stay."""


Attribute = Literal["client.address", "network.peer.address", "server.address", "user_agent.original"]


class MaskConfig(Settings):
    """A person's data that neither logs nor traces nor `gateway explain` show: `MASKED` stands for it."""

    parameters: tuple[str, ...] = ()
    """Names of query parameters and of `:name`s in paths, beside the well-known ones (see the page on
    secrets); upper and lower case, `-` and `_` make no difference."""
    show: tuple[str, ...] = ()
    """Well-known names whose values are shown all the same."""
    attributes: tuple[Attribute, ...] = ()
    """Span attributes masked as a whole; `client.address` in the access log, too."""
    emails: bool = True
    """Mask e-mail addresses wherever they stand."""
    card_numbers: bool = True
    """Mask what may be a card's number, wherever it stands: 13 to 19 digits that pass the Luhn check."""

    def rules(self) -> MaskSettings:
        """As whoever masks takes them."""
        return MaskSettings.read(self.model_dump())

    @field_validator("parameters", "show")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if not bare(name):
                raise Mistake(f"{name!r} is no name", "write it with letters or digits", at=(index,))
        return names

    @field_validator("show")
    @classmethod
    def _well_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if not is_personal(name):
                raise Mistake(f"nothing masks {name!r}", "remove it", at=(index,))
        return names


class TelemetryConfig(Settings):
    """What the gateway tells about itself."""

    traces: TracesConfig = TracesConfig()
    """Traces of forwarded calls."""
    logs: LogsConfig = LogsConfig()
    """Access log and messages."""
    mask: MaskConfig = MaskConfig()
    """Personal data."""

    def for_observer(self) -> dict[str, Any]:
        """These settings as plain data for the observer process, secrets shown: they go down a pipe."""
        settings: dict[str, Any] = self.model_dump(mode="json")
        settings["traces"]["headers"] = {
            name: value.get_secret_value() for name, value in self.traces.headers.items()
        }
        return settings
