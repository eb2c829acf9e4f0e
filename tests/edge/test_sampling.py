"""The file wins over the environment; what makes no sense samples everything, with a warning."""

from __future__ import annotations

import pytest

from gateway.edge.sampling import Sampling, sampling
from gateway.edge.trace_context import TraceContext
from tests.support import make_exchange


@pytest.mark.parametrize(
    ("sample", "environ", "expected"),
    [
        (None, {}, Sampling(1.0, True)),
        (0.25, {"OTEL_TRACES_SAMPLER": "always_off"}, Sampling(0.25, True)),
        (None, {"OTEL_TRACES_SAMPLER": "always_on"}, Sampling(1.0, False)),
        (None, {"OTEL_TRACES_SAMPLER": "always_off"}, Sampling(0.0, False)),
        (None, {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, Sampling(0.0, True)),
        (
            None,
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            Sampling(0.5, False),
        ),
        (None, {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}, Sampling(1.0, True)),
    ],
)
def test_what_is_said_is_done(sample, environ, expected):
    assert sampling(sample, environ) == expected


@pytest.mark.parametrize("argument", ["much", "2", "-1", "nan"])
def test_a_ratio_that_is_none_is_told(argument, caplog):
    environ = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampling(None, environ).ratio == 1.0
    assert argument in caplog.text


def test_an_unknown_sampler_is_told(caplog):
    assert sampling(None, {"OTEL_TRACES_SAMPLER": "jaeger_remote"}) == Sampling()
    assert "jaeger_remote" in caplog.text


def test_a_sampler_that_is_not_parent_based_decides_by_the_id_alone():
    exchange = make_exchange()
    parent = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
    TraceContext(Sampling(0.0, follows_parent=False)).assign(exchange, [parent], None)
    assert not exchange.sampled
    TraceContext(Sampling(0.0)).assign(exchange, [parent], None)
    assert exchange.sampled
