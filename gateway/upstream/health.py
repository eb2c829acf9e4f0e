"""Which targets are worth a call: what calls themselves show (passive), and what probes show (active)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.control import ControlClient
from gateway.errors import UpstreamError
from gateway.upstream.settings import HealthConfig, PassiveHealthConfig

log = logging.getLogger(__name__)


class Health:
    """One target's state: no sockets, and the clock is handed in (seconds, loop time)."""

    __slots__ = (
        "_config",
        "_eject_for",
        "_ejected_until",
        "_failures",
        "_limit",
        "_probes_in_a_row",
        "probed_healthy",
    )

    def __init__(self, passive: PassiveHealthConfig, active: HealthConfig | None = None) -> None:
        self._limit = passive.failures
        self._eject_for = passive.eject_for
        self._config = active
        self._failures = 0
        self._ejected_until = 0.0
        self._probes_in_a_row = 0
        self.probed_healthy = True
        """What probes say; true until they say otherwise."""

    def healthy(self, now: float) -> bool:
        """Is it worth a call?"""
        return self.probed_healthy and now >= self._ejected_until

    def connected(self) -> None:
        """A call reached it: the row of failures ends."""
        self._failures = 0

    def unreachable(self, now: float) -> None:
        """A call did not reach it. Enough of these in a row eject it; after that, one more does again."""
        self._failures += 1
        if self._failures >= self._limit:
            self._ejected_until = now + self._eject_for

    def probed(self, *, good: bool) -> bool:
        """A probe came back. True where that changed the state."""
        assert self._config is not None
        if good == self.probed_healthy:
            self._probes_in_a_row = 0
            return False
        self._probes_in_a_row += 1
        if self._probes_in_a_row < (self._config.healthy_after if good else self._config.unhealthy_after):
            return False
        self._probes_in_a_row = 0
        self.probed_healthy = good
        if good:  # it answers again: what calls met before is over
            self._failures = 0
            self._ejected_until = 0.0
        return True


class Prober:
    """Asks every target for `health.path`, again and again, each on its own."""

    def __init__(
        self,
        upstream: str,
        config: HealthConfig,
        targets: Sequence[tuple[str, Health]],
        control: ControlClient,
    ) -> None:
        self._upstream = upstream
        self._config = config
        self._targets = targets
        self._control = control
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; the first probes leave at once."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._watch(url, health)) for url, health in self._targets]

    async def probe(self, url: str) -> bool:
        """One probe of the target at `url`."""
        config = self._config
        try:
            answer = await self._control.request("GET", url + config.path, timeout=config.timeout)
        except UpstreamError:
            return False
        return answer.status in config.status if config.status else 200 <= answer.status <= 299

    async def _watch(self, url: str, health: Health) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                good = await self.probe(url)
            except Exception:  # a probe that cannot be made says nothing good, and must not end probing
                log.exception("health probe of %s failed", self._upstream)
                good = False
            if health.probed(good=good):
                log.warning(
                    "upstream %s: target %s is %s", self._upstream, url, "healthy" if good else "unhealthy"
                )
            await asyncio.sleep(max(0.0, started + self._config.every - loop.time()))

    async def close(self) -> None:
        """Stop."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
