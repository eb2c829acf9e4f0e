"""Builds the package; with GATEWAY_COMPILE=1, what a forwarded call passes is compiled by mypyc."""

from __future__ import annotations

import os

from setuptools import setup

COMPILED = (
    "gateway/chain.py",
    "gateway/circuit.py",
    "gateway/edge/body.py",
    "gateway/edge/chunked.py",
    "gateway/edge/fields.py",
    "gateway/edge/head.py",
    "gateway/edge/intake.py",
    "gateway/edge/plain.py",
    "gateway/edge/protocol.py",
    "gateway/edge/proxy.py",
    "gateway/edge/reading.py",
    "gateway/edge/remembered.py",
    "gateway/edge/server.py",
    "gateway/edge/trace_context.py",
    "gateway/edge/wire.py",
    "gateway/edge/writer.py",
    "gateway/enforcement/authentication.py",
    "gateway/enforcement/circuit_breaker.py",
    "gateway/enforcement/ip_allow_list.py",
    "gateway/enforcement/rate_limit.py",
    "gateway/enforcement/retry.py",
    "gateway/enforcement/timeout.py",
    "gateway/exchange.py",
    "gateway/identity.py",
    "gateway/metrics.py",
    "gateway/observer/call.py",
    "gateway/observer/otlp.py",
    "gateway/observer/stays.py",
    "gateway/observer/templates.py",
    "gateway/outbox.py",
    "gateway/record.py",
    "gateway/recorder.py",
    "gateway/retry_budget.py",
    "gateway/routing.py",
    "gateway/stores/counters.py",
    "gateway/stream.py",
    "gateway/tokens/memo.py",
    "gateway/tokens/schemes.py",
    "gateway/tokens/secret_table.py",
    "gateway/upstream/answer.py",
    "gateway/upstream/balancing.py",
    "gateway/upstream/connection.py",
    "gateway/upstream/deadlines.py",
    "gateway/upstream/health.py",
    "gateway/upstream/http1.py",
    "gateway/upstream/plain.py",
    "gateway/upstream/pool.py",
    "gateway/upstream/request.py",
    "gateway/upstream/secure.py",
    "gateway/upstream/upstream.py",
)
"""What every call runs through, edge to upstream and back. The rest runs seldom, and stays as it is."""

extensions = []
if os.environ.get("GATEWAY_COMPILE") == "1":
    from mypyc.build import mypycify

    extensions = mypycify(list(COMPILED), opt_level="3", debug_level="0", multi_file=True)

setup(ext_modules=extensions)
