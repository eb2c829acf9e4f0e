"""What a sandbox does wrong when it is told to."""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One order to misbehave. Latency comes first; of the others, at most one is given."""

    latency_ms: int = 0
    """Wait this long before anything else."""
    status: int = 0
    """Answer with this status, in the sandbox's own error shape."""
    reset: bool = False
    """Close the TCP connection with RST, once the request was read."""
    bad_body: bool | str = False
    """True or `short`: a body shorter than its Content-Length; `garbage`: bytes that are not HTTP."""
    outage: bool = False
    """Hang up on every connection, the open ones included, until the fault is cleared."""
    rate: float = 1.0
    """The share of calls that suffer."""
    path: str = ""
    """Only calls whose path begins so."""
    times: int = 0
    """After so many calls the fault is over; 0 for no end."""

    @classmethod
    def read(cls, order: Any) -> Fault:
        """From JSON. Raises ValueError with what is wrong."""
        if not isinstance(order, dict):
            raise ValueError("a fault is a JSON object")  # noqa: TRY004 - wrong input, like the others
        kinds = {field.name: type(field.default) for field in fields(cls)}
        for key, value in order.items():
            if key not in kinds:
                raise ValueError(f"no fault is called {key!r}; there are {', '.join(kinds)}")
            if key == "bad_body":
                if value not in (True, False, "short", "garbage"):
                    raise ValueError("bad_body is true, false, short or garbage")
            elif key == "rate":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                    raise ValueError("rate is a number from 0 to 1")
            elif type(value) is not kinds[key]:
                raise ValueError(f"{key} is a {kinds[key].__name__}")
        fault = cls(**order)
        if fault.latency_ms < 0 or fault.times < 0:
            raise ValueError("latency_ms and times are never negative")
        if fault.status and not 200 <= fault.status <= 599:
            raise ValueError("status is a number from 200 to 599")
        if sum(map(bool, (fault.status, fault.reset, fault.bad_body, fault.outage))) > 1:
            raise ValueError("of status, reset, bad_body and outage, give one")
        if fault.outage and (fault.path or fault.times or fault.rate != 1):
            raise ValueError("an outage is total: it takes no path, times or rate")
        return fault

    def show(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Faults:
    """The fault in force, if any, and how often it struck."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.struck = 0
        self._random = random.Random(20)

    def order(self, fault: Fault | None) -> None:
        """Put another fault in force; None for good behaviour. The same sequence of calls suffers alike."""
        self.fault = fault
        self.struck = 0
        self._random.seed(20)

    def meet(self, path: str) -> Fault | None:
        """The fault that this call suffers; counts it."""
        fault = self.fault
        if fault is None or not path.startswith(fault.path):
            return None
        if fault.times and self.struck >= fault.times:
            return None
        if fault.rate < 1 and self._random.random() >= fault.rate:
            return None
        self.struck += 1
        return fault

    def show(self) -> dict[str, Any]:
        """As JSON."""
        return {"fault": self.fault.show() if self.fault else None, "struck": self.struck}


class Calls:
    """What arrived: a counter per method and path, and the last calls in full."""

    def __init__(self, keep: int = 50) -> None:
        self._counts: Counter[str] = Counter()
        self._last: deque[dict[str, Any]] = deque(maxlen=keep)

    def note(self, method: str, target: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Count one call, before any fault."""
        self._counts[f"{method} {target.partition('?')[0]}"] += 1
        told = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
        self._last.append({"method": method, "target": target, "headers": told})

    def clear(self) -> None:
        """Begin again at nothing."""
        self._counts.clear()
        self._last.clear()

    def show(self) -> dict[str, Any]:
        """As JSON."""
        return {"total": self._counts.total(), "by_path": dict(self._counts), "last": list(self._last)}
