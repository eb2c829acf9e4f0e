"""Owns signals, workers and observer: starts them, restarts them, reloads them in step, drains them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.auditing import AuditError, Auditing
from gateway.channel import ChannelClosed, RemoteError
from gateway.config import Config, ConfigError, check_workers, diff, load
from gateway.logs import mask_by
from gateway.metrics import Metrics, Sample, merge
from gateway.processes import ObserverProcess, WorkerProcess
from gateway.watching import signature, watch

log = logging.getLogger("gateway.supervisor")
_RESTART_PAUSES = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a child that keeps dying is started again, per death in a row."""


class Supervisor:
    """One running gateway."""

    def __init__(self, path: Path, config: Config, environ: Mapping[str, str], *, workers: int = 1) -> None:
        self.path = path
        self.config = config
        self.environ = environ
        self.generation = 1
        self._seen = signature(config)
        self.exposed = False
        """Others than this machine reach the admin port."""
        self.draining: bool = False
        self.started_unix = time.time()
        self.last_reload_error = ""
        self.listeners: list[socket.socket] = []
        self.workers: dict[int, WorkerProcess] = {}
        self.spare: WorkerProcess | None = None
        """Started, and waiting for the first worker that dies: starting takes most of a second."""
        self.count = workers
        self.observer: ObserverProcess | None = None
        self.stopped = asyncio.Event()
        self.metrics = Metrics()
        self.auditing = Auditing(self.metrics)
        self._buried: list[Sample] = []
        self._observer_replaced = False
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runtime = tempfile.TemporaryDirectory(prefix="gateway-")  # mode 0700
        self._generation_gauge = self.metrics.gauge(
            "gateway_config_generation", "Configuration generation that serves."
        )
        self._reloads = self.metrics.counter(
            "gateway_config_reloads_total", "Reloads by result.", ("result",)
        )
        self._restarts = self.metrics.counter(
            "gateway_restarts_total", "Children started again after dying.", ("child",)
        )
        self.metrics.gauge("gateway_workers", "Workers that serve.").watch(
            lambda: sum(worker.ready for worker in self.workers.values())
        )

    # Starting and stopping.

    def listen(self, host: str, port: int) -> int:
        """Open a listening socket that all workers share; returns its port. Raises `OSError`.

        The first one is the gateway's own; on a second one workers speak plain HTTP, TLS or not.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=4096)
        listener.setblocking(False)
        self.listeners.append(listener)
        return int(listener.getsockname()[1])

    def abandon(self) -> None:
        """Leave nothing behind of one that will not start."""
        for listener in self.listeners:
            listener.close()
        self._runtime.cleanup()

    async def start(self) -> None:
        """Start the observer and the workers, and begin to watch them and the configuration.

        Raises `AuditError` where the audit log cannot be written.
        """
        await self.auditing.use(self.config)
        await self.auditing.note(
            "gateway", "started", version=__version__, pid=os.getpid(), workers=self.count,
            generation=self.generation, config=str(self.path), fingerprint=self.config.fingerprint,
        )  # fmt: skip
        self.observer = ObserverProcess(Path(self._runtime.name), self.config.telemetry.for_observer())
        await self.observer.spawn()
        await self.observer.listening()
        await asyncio.gather(*(self._start_worker(number) for number in range(self.count)))
        self._generation_gauge.set(self.generation)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._on_stop)
        self._go(self._watch_observer())
        self._go(watch(lambda: self.config, self.reload, self._seen))
        self._go(self._listen_to_workers())
        self._go(self._keep_spare())

    def _go(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("supervisor: %s", error, exc_info=error)

    def _on_hangup(self) -> None:
        self._go(self.reload("SIGHUP"))

    def _on_stop(self) -> None:
        if self.draining:
            log.warning("told to stop again: cutting what is left")
            for worker in self.workers.values():
                self._go(worker.kill())
        else:
            self._go(self.stop())

    async def stop(self) -> None:
        """Drain: not ready, `Connection: close`, listeners closed, calls ended or cut, children gone."""
        if self.draining:  # one signal came twice at once, as `timeout` sends it
            return
        self.draining = True
        drain = self.config.server.drain
        log.info(
            "draining: %gs until the listeners close, then %gs for calls under way", drain.delay, drain.grace
        )
        await self.tell("begin_drain", None)
        await asyncio.sleep(drain.delay)
        for listener in self.listeners:
            listener.close()
        if self.spare is not None:  # it holds the listeners too: callers would queue where nobody accepts
            await self.spare.kill()
        await asyncio.gather(*(worker.stop(drain.grace) for worker in self.workers.values()))
        if self.observer is not None:
            await self.observer.stop()
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        await self.auditing.happened("gateway", "stopped", pid=os.getpid(), generation=self.generation)
        await self.auditing.close()
        self._runtime.cleanup()
        self.stopped.set()

    # Children.

    async def _start_worker(self, number: int) -> None:
        worker, self.spare = self.spare, None
        if worker is None or worker.process.returncode is not None:
            worker = await self._spawn()
        try:
            async with self._reloading:  # one that starts during a reload starts with what comes out of it
                await worker.bring_up(number, self.generation, self.config)
                self.workers[number] = worker
        except BaseException:
            await worker.kill()
            raise
        self._go(self._watch_worker(worker))

    async def _spawn(self) -> WorkerProcess:
        assert self.observer is not None
        logs = self.config.telemetry.logs
        return await WorkerProcess.spawn(
            self.listeners, self.observer.records_path, (logs.level, logs.format), self.auditing.hear
        )

    async def _keep_spare(self) -> None:
        spare = await self._spawn()
        if self.spare is None and not self.draining:
            self.spare = spare
        else:  # two workers died at once, or all are to end
            await spare.kill()

    async def _watch_worker(self, worker: WorkerProcess) -> None:
        status = await worker.process.wait()
        worker.ready = False
        if self.draining:
            return
        log.error(
            "worker %d (process %d) died with status %s: starting it again",
            worker.number,
            worker.process.pid,
            status,
        )
        self._restarts.add(("worker",))
        self._bury(worker)
        await self.auditing.happened("gateway", "worker died", worker=worker.number, status=status)
        await worker.channel.close()
        attempt = 0
        while not self.draining:
            await asyncio.sleep(_RESTART_PAUSES[min(attempt, len(_RESTART_PAUSES) - 1)])
            attempt += 1
            try:
                await self._start_worker(worker.number)
            except (OSError, ChannelClosed, RemoteError, TimeoutError) as error:
                log.error("worker %d cannot start: %s", worker.number, error)  # noqa: TRY400 - the cause is told
            else:
                self._go(self._keep_spare())
                return

    def _bury(self, worker: WorkerProcess) -> None:
        """Keep a dead worker's counts, so that sums never fall; what it had in flight is gone."""
        counts = [sample for sample in worker.samples if sample[1] != "gauge"]
        self._buried = merge([self._buried, counts])
        worker.samples = []

    async def _watch_observer(self) -> None:
        assert self.observer is not None
        assert self.observer.process is not None
        deaths = 0
        while True:
            started = time.monotonic()
            status = await self.observer.process.wait()
            if self.draining:
                return
            if self._observer_replaced:
                self._observer_replaced = False
            else:
                deaths = deaths + 1 if time.monotonic() - started < 10 else 0
                log.error("observer died with status %s: starting it again; calls go on", status)
                self._restarts.add(("observer",))
                await asyncio.sleep(_RESTART_PAUSES[min(deaths, len(_RESTART_PAUSES) - 1)])
            await self.observer.spawn()

    def _replace_observer(self, config: Config) -> None:
        """Let an observer with new settings take over; records wait in the workers for a moment."""
        assert self.observer is not None
        assert self.observer.process is not None
        self.observer.settings = config.telemetry.for_observer()
        if self.observer.process.returncode is None:
            self._observer_replaced = True
            self.observer.process.terminate()

    async def _listen_to_workers(self) -> None:
        while True:
            await asyncio.sleep(1)
            await asyncio.gather(*(worker.hear() for worker in list(self.workers.values())))

    async def samples(self) -> list[Sample]:
        """The numbers of all workers, dead ones included, and the supervisor's own."""
        workers = list(self.workers.values())
        await asyncio.gather(*(worker.hear() for worker in workers))
        own = [self.metrics.snapshot(), self._buried, await self._observer_samples()]
        return merge([*own, *(worker.samples for worker in workers)])

    async def _observer_samples(self) -> list[Sample]:
        """The observer's numbers; none where it does not answer just now."""
        assert self.observer is not None
        try:
            answer = await self.observer.ask("metrics", timeout=1)
        except (OSError, EOFError, TimeoutError):
            return []
        return [
            (name, kind, text, tuple(labels), [(tuple(key), value) for key, value in values])
            for name, kind, text, labels, values in answer
        ]

    @property
    def ready(self) -> bool:
        """Every worker serves, and nobody told us to stop."""
        return (
            not self.draining
            and len(self.workers) == self.count
            and all(w.ready for w in self.workers.values())
        )

    # Reloading.

    async def reload(self, cause: str = "a file changed") -> list[str]:
        """Load the configuration anew and swap it in, in all workers or in none.

        Returns what changed, in sentences. Raises nothing: what went wrong is logged loudly, counted, and
        kept in `last_reload_error`; the last good configuration serves on.
        """
        async with self._reloading:
            try:
                config = await asyncio.to_thread(load, self.path, self.environ)
            except ConfigError as error:
                return await self._refuse("bad_file", f"{error}", cause)
            except Exception as error:
                log.exception("reload: a mistake of the gateway's own")
                return await self._refuse("failed", f"it cannot be read: {error!r}", cause)
            if apart := check_workers(config, self.count):
                return await self._refuse("bad_file", f"{ConfigError(apart)}", cause)
            if self.exposed and not config.server.admin.tokens:
                told = "the admin port is reachable from outside, and server.admin.token is gone: set it"
                return await self._refuse("bad_file", told, cause)
            changes = diff(self.config, config)
            if config.fingerprint == self.config.fingerprint:
                self.last_reload_error = ""
                log.info("reload: nothing changed")
                self._reloads.add(("unchanged",))
                await self._renew_certificates()
                return []
            number = self.generation + 1
            workers = [worker for worker in self.workers.values() if worker.ready]
            prepared = await asyncio.gather(
                *(worker.channel.request("prepare", (number, config)) for worker in workers),
                return_exceptions=True,
            )
            if errors := [
                e for e in prepared if isinstance(e, BaseException) and not isinstance(e, ChannelClosed)
            ]:
                await self._each(workers, "abort", None)
                return await self._refuse("failed", f"a worker cannot build it: {errors[0]}", cause)
            change = {"generation": number, "cause": cause, "fingerprint": config.fingerprint}
            try:
                await self.auditing.note("configuration", "changed", **change, changes=changes)
                if config.audit is not None and await self.auditing.use(config):
                    await self.auditing.note("configuration", "begun", **change)
            except AuditError as error:
                await self._each(workers, "abort", None)
                return await self._refuse("failed", f"{error}", cause)
            await self._each(workers, "commit", number)
            if config.audit is None:  # only now nobody writes it any more
                await self.auditing.use(config)
            if config.telemetry != self.config.telemetry:
                self._replace_observer(config)
            self.generation, self.config = number, config
            mask_by(config.telemetry.mask.rules())
            self._generation_gauge.set(number)
            self._reloads.add(("ok",))
            self.last_reload_error = ""
            log.info("generation %d serves: %s", number, "; ".join(changes) or "no route changed")
            await self._renew_certificates()
            return changes

    async def _renew_certificates(self) -> None:
        """Have the files of `server.tls` read again: renewed certificates come under the old names."""
        if self.config.server.tls is None:
            return
        answers = await self.tell("renew_certificates", None)
        if errors := [answer for answer in answers if isinstance(answer, RemoteError)]:
            await self._refuse("bad_certificate", f"the certificate in use stays: {errors[0]}", "certificate")

    @staticmethod
    async def _each(workers: list[WorkerProcess], op: str, payload: Any) -> None:
        """Tell all; one that cannot any more is dead or wrong, and is started anew with what serves."""
        results = await asyncio.gather(
            *(w.channel.request(op, payload) for w in workers), return_exceptions=True
        )
        for worker, result in zip(workers, results, strict=True):
            if isinstance(result, BaseException) and worker.process.returncode is None:
                log.error("%r failed to %s (%s): killing it", worker, op, result)
                worker.ready = False
                worker.process.kill()

    async def tell(self, op: str, payload: Any) -> list[Any]:
        """Ask all workers; the answers, or the exceptions of those that gave none."""
        workers = list(self.workers.values())
        return await asyncio.gather(
            *(worker.channel.request(op, payload, timeout=5) for worker in workers), return_exceptions=True
        )

    async def _refuse(self, result: str, message: str, cause: str) -> list[str]:
        self.last_reload_error = message
        self._reloads.add((result,))
        log.error("reload refused, generation %d serves on:\n%s", self.generation, message)
        await self.auditing.happened(
            "configuration", "refused", generation=self.generation, cause=cause, error=message
        )
        return []
