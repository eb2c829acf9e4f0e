"""Counters of rate limits."""


class CounterStore:
    """Storages of `limits` behind one door."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def close(self) -> None:
        """Close connections."""


def open_counters(url: str) -> CounterStore:
    """The counters kept at `url`."""
    return CounterStore(url)
