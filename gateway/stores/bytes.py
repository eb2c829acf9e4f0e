"""Bytes of cached answers."""


class ByteStore:
    """aiocache behind one door."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def close(self) -> None:
        """Close connections."""
