"""The composition root as a Starlette application: the same proxy under any ASGI server.

    uvicorn --factory gateway.app:create_app

What our own edge refuses or times out, another server may let pass (see `docs/decisions`): in front of
real money, run `gateway serve`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from gateway.audit import Auditor
from gateway.auditing import Auditing
from gateway.config import load
from gateway.edge.asgi import AsgiEntrance
from gateway.edge.proxy import Proxy
from gateway.edge.sampling import sampling
from gateway.generation import Generation, World
from gateway.observer.masking import Masking
from gateway.processes import ObserverProcess
from gateway.recorder import Recorder
from gateway.stores import Stores
from gateway.upstream.control import HttpxControlClient


def create_app(path: Path | str | None = None, environ: Mapping[str, str] = os.environ) -> Starlette:
    """Configuration in, ASGI application out. Raises `ConfigError`.

    `path` defaults to `$GATEWAY_CONFIG`, then `routes.yaml`. The observer process is started and stopped
    with the application's lifespan.
    """
    config = load(Path(path or environ.get("GATEWAY_CONFIG", "routes.yaml")), environ)
    entrance = _LateEntrance()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        world = World(control=HttpxControlClient(), stores=Stores(config.state))
        generation = Generation(1, config, world)
        generation.start()
        with tempfile.TemporaryDirectory(prefix="gateway-") as runtime:
            observer = ObserverProcess(Path(runtime), config.telemetry.for_observer())
            await observer.spawn()
            await observer.listening()
            recorder = Recorder(metrics=world.metrics)
            await recorder.connect(observer.records_path)
            world.recorder = recorder
            auditor = None
            auditing = Auditing(world.metrics)
            if config.audit is not None:
                await auditing.use(config)
                auditor = Auditor(config.audit, auditing.write, world.metrics)
                auditor.generation = generation.number
                world.auditor = auditor
                auditor.masking = Masking(config.telemetry.mask.rules())
            entrance.app = AsgiEntrance(
                Proxy(generation, recorder, auditor),
                trusted_proxies=config.server.trusted_proxies,
                sampling=sampling(config.telemetry.traces.sample, environ),
                certificate_header=config.server.client_certificate_header or "",
            )
            try:
                yield
            finally:
                await recorder.close()
                if auditor is not None:
                    await auditor.close()
                await auditing.close()
                await observer.stop()
                for upstream in generation.upstreams.values():
                    await upstream.close()
                await world.stores.close()

    return Starlette(routes=[Mount("/", app=entrance)], lifespan=lifespan)


class _LateEntrance:
    """The entrance, once the application has started."""

    app: AsgiEntrance | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app is not None, "the application's lifespan has not started: the server must run it"
        await self.app(scope, receive, send)
