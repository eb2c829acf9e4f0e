"""Which traces are recorded: `telemetry.traces.sample`, else the standard variables of OpenTelemetry.

`OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

log = logging.getLogger("gateway.edge")


class Sampling(NamedTuple):
    """How traces are chosen."""

    ratio: float = 1.0
    """Share of the traces that are decided about here, from 0 to 1."""
    follows_parent: bool = True
    """A caller's own decision (the `sampled` flag of its `traceparent`) stands."""


def sampling(sample: float | None, environ: Mapping[str, str]) -> Sampling:
    """The file's share, where it gives one; else what the environment says; else everything."""
    if sample is not None:
        return Sampling(sample)
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    follows_parent = not name or name.startswith("parentbased_")
    match name.removeprefix("parentbased_"):
        case "" | "always_on":
            return Sampling(1.0, follows_parent)
        case "always_off":
            return Sampling(0.0, follows_parent)
        case "traceidratio":
            return Sampling(_ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", "")), follows_parent)
    log.warning(
        "OTEL_TRACES_SAMPLER=%r is none of OpenTelemetry's built-in samplers: sampling everything", name
    )
    return Sampling()


def _ratio(text: str) -> float:
    try:
        ratio = float(text or "1")
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        log.warning("OTEL_TRACES_SAMPLER_ARG=%r is no number from 0 to 1: sampling everything", text)
        return 1.0
    return ratio
