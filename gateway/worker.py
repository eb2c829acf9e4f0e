"""One worker process: the edge, the current generation, the recorder; told what to do by the supervisor."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from gateway.audit import Auditor, Entry
from gateway.channel import Channel
from gateway.config import Config
from gateway.edge.proxy import Proxy
from gateway.edge.sampling import sampling
from gateway.edge.server import EdgeServer
from gateway.generation import Generation, World
from gateway.logs import log_crashes, mask_by, set_up
from gateway.observer.masking import Masking
from gateway.recorder import Recorder
from gateway.stores import Stores
from gateway.upstream import Upstream
from gateway.upstream.control import HttpxControlClient

log = logging.getLogger("gateway.worker")


class Worker:
    """Builds generations when told, swaps them when told, drains when told."""

    def __init__(self, listeners: list[socket.socket], observer_path: str) -> None:
        self.number = 0
        self.listeners = listeners
        self.observer_path = observer_path
        self.world: World | None = None
        self.proxy: Proxy | None = None
        self.server: EdgeServer | None = None
        self.prepared: Generation | None = None
        self.stopping = asyncio.Event()
        self.channel: Channel | None = None
        self.auditor: Auditor | None = None

    async def handle(self, op: str, payload: Any) -> Any:
        """What the supervisor may ask: an operation is a method of that name."""
        return await getattr(self, f"do_{op}")(payload)

    async def do_number(self, number: int) -> None:
        """Whose place this worker takes; records bear it."""
        self.number = number

    async def do_prepare(self, payload: tuple[int, Config]) -> int:
        """Build generation N beside the one that serves. Nothing changes for callers yet."""
        number, config = payload
        if self.world is None:
            self.world = World(control=HttpxControlClient(), stores=Stores(config.state))
        await self.do_abort(None)
        try:
            self.prepared = Generation(number, config, self.world)
        except Exception:
            for thing in self.world.state.abort():
                if isinstance(thing, Upstream):
                    await thing.close()
            raise
        return number

    async def do_abort(self, _payload: Any) -> None:
        """Forget what was prepared."""
        if self.prepared is not None and self.world is not None:
            gone, self.prepared.upstreams = self.world.state.abort(), {}
            self.prepared.retire(gone)
            self.prepared = None

    async def do_commit(self, number: int) -> int:
        """Swap the prepared generation in."""
        generation, self.prepared = self.prepared, None
        if generation is None or generation.number != number:
            raise RuntimeError(f"generation {number} was not prepared")
        gone = generation.start()
        await self._audit(generation)
        mask_by(generation.config.telemetry.mask.rules())
        if self.proxy is None:
            await self._serve(generation)
        else:
            self.proxy.audit = self.auditor
            self.proxy.swap(generation).retire(gone)
            assert self.server is not None
            self.server.configure(
                trusted_proxies=generation.config.server.trusted_proxies,
                sampling=sampling(generation.config.telemetry.traces.sample, os.environ),
                certificate_header=generation.config.server.client_certificate_header or "",
            )
        self._forget_garbage()
        return number

    async def _audit(self, generation: Generation) -> None:
        """Have calls recorded as the configuration says; what waits of earlier ones is sent first."""
        assert self.world is not None
        config = generation.config.audit
        if config is None:
            auditor, self.auditor, self.world.auditor = self.auditor, None, None
            if auditor is not None:
                await auditor.close()
            return
        if self.auditor is None:
            self.auditor = Auditor(config, self._send_entries, self.world.metrics, worker=self.number)
        self.world.auditor = self.auditor
        self.auditor.config, self.auditor.generation = config, generation.number
        self.auditor.masking = Masking(generation.config.telemetry.mask.rules())

    async def _send_entries(self, entries: Sequence[Entry]) -> None:
        """Returns when the supervisor has written them."""
        assert self.channel is not None
        if why_not := await self.channel.request("audit", entries):
            raise OSError(why_not)

    async def _serve(self, generation: Generation) -> None:
        assert self.world is not None
        recorder = Recorder(worker=self.number, metrics=self.world.metrics)
        await recorder.connect(self.observer_path)
        self.world.recorder = recorder
        self.proxy = Proxy(generation, recorder, self.auditor)
        config = generation.config
        self.server = EdgeServer(
            self.proxy,
            tls=config.tls_files,
            trusted_proxies=config.server.trusted_proxies,
            sampling=sampling(config.telemetry.traces.sample, os.environ),
            certificate_header=config.server.client_certificate_header or "",
        )
        for index, listener in enumerate(self.listeners):  # the second one is `server.tls.plain_port`'s
            await self.server.listen(listener, plain=index > 0)

    @staticmethod
    def _forget_garbage() -> None:
        """What a generation is made of lives long: keep the collector from walking it on every round."""
        gc.unfreeze()  # what the last round kept may be garbage by now
        gc.collect()
        gc.freeze()
        # Broken calls leave cycles behind (errors and their frames, lost connections) that may be old by
        # then: a full round is short after the freeze, and has to come before they fill the memory.
        gc.set_threshold(50_000, 10, 5)

    async def do_metrics(self, _payload: Any) -> list[Any]:
        """This worker's numbers, cumulative since it started."""
        return self.world.metrics.snapshot() if self.world is not None else []

    async def do_status(self, _payload: Any) -> dict[str, Any]:
        """What pages and `/readyz` want to know."""
        generation = self.proxy.generation if self.proxy is not None else None
        return {
            "pid": os.getpid(),
            "generation": generation.number if generation else 0,
            "generations": len(self.world.generations) if self.world else 0,
            "in_flight": generation.in_flight if generation else 0,
            "connections": self.server.connections if self.server else 0,
            "upstreams": {n: u.status() for n, u in generation.upstreams.items()} if generation else {},
        }

    async def do_purge(self, payload: dict[str, str]) -> int:
        """Forget cached answers of a route or a tag; returns how many."""
        assert self.world is not None
        return self.world.stores.purge(route=payload.get("route"), tag=payload.get("tag"))

    async def do_renew_certificates(self, _payload: Any) -> None:
        """Read the files of `server.tls` again."""
        if self.server is not None:
            await self.server.renew_certificates()

    async def do_begin_drain(self, _payload: Any) -> None:
        """Answers carry `Connection: close` from now on."""
        if self.server is not None:
            self.server.begin_drain()

    async def do_stop(self, grace: float) -> None:
        """Close the listeners, let calls end for `grace` seconds, cut what is left, leave."""
        if self.server is not None and self.proxy is not None:
            self.server.close_listeners()
            await self.server.drained(grace)
            await self.proxy.recorder.close()
        if self.auditor is not None:
            await self.auditor.close()
        if self.proxy is not None:
            for upstream in self.proxy.generation.upstreams.values():
                await upstream.close()
        if self.world is not None:
            await self.world.stores.close()
        self.stopping.set()


async def _run(control: int, listeners: list[int], observer_path: str) -> None:
    worker = Worker([socket.socket(fileno=fd) for fd in listeners], observer_path)
    worker.channel = channel = await Channel.open(socket.socket(fileno=control), worker.handle)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, lambda: None)  # the supervisor owns signals
    stopped = asyncio.create_task(worker.stopping.wait())
    orphaned = asyncio.create_task(channel.closed.wait())
    await asyncio.wait({stopped, orphaned}, return_when=asyncio.FIRST_COMPLETED)
    if orphaned.done() and not stopped.done():
        await worker.do_stop(0)  # the supervisor died: serving on would be serving unwatched
    stopped.cancel()
    orphaned.cancel()
    await channel.close()


def main() -> None:
    """Started by the supervisor only: `gateway.worker CONTROL_FD OBSERVER_PATH LEVEL FORMAT FD...`."""
    control, observer_path, level, form, *listeners = sys.argv[1:]
    set_up(level, "json" if form == "json" else "text")
    log_crashes()
    uvloop.run(_run(int(control), [int(fd) for fd in listeners], observer_path))


if __name__ == "__main__":
    main()
