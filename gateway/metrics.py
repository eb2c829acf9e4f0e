"""Numbers a worker keeps about itself: cumulative, cheap to add to, sent as snapshots.

A snapshot is plain tuples, so that it can be marshalled to the supervisor, which adds those of all
workers and renders them in the Prometheus text format 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

Labels = tuple[str, ...]
Sample = tuple[str, str, str, Labels, list[tuple[Labels, float | list[float]]]]
"""(name, kind, help, label names, [(label values, value)]); a histogram's value: [bucket counts..., sum]."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket bounds of every duration, in seconds, as OpenTelemetry advises for HTTP."""
WAITING = 64
"""Durations that wait to be sorted into them."""


class Counter:
    """A sum that only grows, per combination of label values."""

    __slots__ = ("help", "labels", "name", "values")

    def __init__(self, name: str, help: str, labels: Labels) -> None:  # noqa: A002 - Prometheus's own word
        self.name, self.help, self.labels = name, help, labels
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Add to one combination of label values."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def sample(self) -> Sample:
        """This metric as plain data."""
        return self.name, "counter", self.help, self.labels, list(self.values.items())


class Gauge:
    """A number that goes up and down; read from `read` at snapshot time where that is given."""

    __slots__ = ("help", "labels", "name", "read", "values")

    def __init__(self, name: str, help: str, labels: Labels) -> None:  # noqa: A002
        self.name, self.help, self.labels = name, help, labels
        self.values: dict[Labels, float] = {}
        self.read: dict[Labels, Callable[[], float]] = {}

    def set(self, value: float, labels: Labels = ()) -> None:
        """Say what the number is now."""
        self.values[labels] = value

    def watch(self, read: Callable[[], float], labels: Labels = ()) -> None:
        """Ask `read` for the number at every snapshot; a later watcher of the same labels takes over."""
        self.read[labels] = read

    def sample(self) -> Sample:
        """This metric as plain data."""
        values = {**self.values, **{labels: read() for labels, read in self.read.items()}}
        return self.name, "gauge", self.help, self.labels, list(values.items())


class Durations:
    """How the durations of one combination of labels are spread.

    They are sorted into the buckets many at a time, which takes a quarter of what one by one takes.
    """

    __slots__ = ("_counts", "_waiting")

    def __init__(self) -> None:
        self._counts = [0.0] * (len(SECONDS) + 2)
        self._waiting: list[float] = []

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._waiting.append(seconds)
        if len(self._waiting) >= WAITING:
            self.counts()

    def counts(self) -> list[float]:
        """Per bucket, longer ones, and the sum of all."""
        counts, waiting = self._counts, self._waiting
        if waiting:
            waiting.sort()
            start = 0
            for at, bound in enumerate(SECONDS):
                end = bisect_right(waiting, bound, start)
                counts[at] += end - start
                start = end
            counts[-2] += len(waiting) - start
            counts[-1] += sum(waiting)
            waiting.clear()
        return counts


class Histogram:
    """How durations (in seconds) are spread, in fixed buckets."""

    __slots__ = ("help", "labels", "name", "values")

    def __init__(self, name: str, help: str, labels: Labels) -> None:  # noqa: A002
        self.name, self.help, self.labels = name, help, labels
        self.values: dict[Labels, Durations] = {}

    def observe(self, seconds: float, labels: Labels = ()) -> None:
        """Count one duration."""
        self.durations(labels).observe(seconds)

    def durations(self, labels: Labels = ()) -> Durations:
        """Those of one combination, for whoever observes one at every call."""
        known = self.values.get(labels)
        if known is None:
            known = self.values[labels] = Durations()
        return known

    def sample(self) -> Sample:
        """This metric as plain data; nothing of combinations that nobody observed yet."""
        spread = [(labels, list(durations.counts())) for labels, durations in self.values.items()]
        return self.name, "histogram", self.help, self.labels, [
            (labels, counts) for labels, counts in spread if any(counts)
        ]  # fmt: skip


class Metrics:
    """All the metrics of one worker. Asking for a name twice gives the same metric."""

    def __init__(self) -> None:
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, help: str, labels: Labels = ()) -> Counter:  # noqa: A002
        """The counter of that name; by convention it ends in `_total`."""
        return self._metrics.setdefault(name, Counter(name, help, labels))  # type: ignore[return-value]

    def gauge(self, name: str, help: str, labels: Labels = ()) -> Gauge:  # noqa: A002
        """The gauge of that name."""
        return self._metrics.setdefault(name, Gauge(name, help, labels))  # type: ignore[return-value]

    def histogram(self, name: str, help: str, labels: Labels = ()) -> Histogram:  # noqa: A002
        """The histogram of that name; by convention it ends in `_seconds`."""
        return self._metrics.setdefault(name, Histogram(name, help, labels))  # type: ignore[return-value]

    def snapshot(self) -> list[Sample]:
        """Everything, as plain data."""
        return [metric.sample() for metric in self._metrics.values()]


def merge(snapshots: Iterable[list[Sample]]) -> list[Sample]:
    """Add the snapshots of several workers; of gauges too, since all of ours count things."""
    merged: dict[str, Sample] = {}
    for snapshot in snapshots:
        for name, kind, help_, labels, values in snapshot:
            if name not in merged:
                merged[name] = (name, kind, help_, labels, [])
            sums = dict(merged[name][4])
            for key, value in values:
                known = sums.get(key)
                if known is None:
                    sums[key] = value
                elif isinstance(known, list) and isinstance(value, list):
                    sums[key] = [a + b for a, b in zip(known, value, strict=True)]
                else:
                    sums[key] = known + value  # type: ignore[operator]
            merged[name] = (name, kind, help_, labels, list(sums.items()))
    return list(merged.values())


def _labels(names: Labels, values: Labels, extra: str = "") -> str:
    pairs = [
        '{}="{}"'.format(n, v.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for n, v in zip(names, values, strict=True)
    ]
    if extra:
        pairs.append(extra)
    return "{" + ",".join(pairs) + "}" if pairs else ""


def render(samples: list[Sample]) -> str:
    """Prometheus text format 0.0.4."""
    lines: list[str] = []
    for name, kind, help_, labels, values in sorted(samples):
        lines.append(f"# HELP {name} {help_}")
        lines.append(f"# TYPE {name} {kind}")
        for key, value in sorted(values, key=lambda item: item[0]):
            if not isinstance(value, list):
                whole = float(value).is_integer()
                shown = f"{value:.0f}" if whole else f"{value:g}" if value < 1e6 else repr(value)
                lines.append(f"{name}{_labels(labels, key)} {shown}")
                continue
            total = 0.0
            for bound, count in zip((*SECONDS, float("inf")), value, strict=False):
                total += count
                le = 'le="+Inf"' if bound == float("inf") else f'le="{bound:g}"'
                lines.append(f"{name}_bucket{_labels(labels, key, le)} {total:.0f}")
            lines.append(f"{name}_sum{_labels(labels, key)} {value[-1]!r}")
            lines.append(f"{name}_count{_labels(labels, key)} {total:.0f}")
    return "\n".join(lines) + "\n"
