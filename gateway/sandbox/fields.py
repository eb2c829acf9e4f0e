"""Reading JSON that strangers send."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request


class MalformedError(Exception):
    """A request that is not what the sandbox takes; the text says why."""


class Fields:
    """A JSON object whose members are asked for by name and type."""

    def __init__(self, data: Any) -> None:
        if not isinstance(data, dict):
            raise MalformedError("the body is a JSON object")
        self._data = data

    @classmethod
    async def read(cls, request: Request) -> Fields:
        """From a request's body. Raises `MalformedError`."""
        try:
            return cls(await request.json())
        except ValueError:  # UnicodeDecodeError among them
            raise MalformedError("the body is not JSON") from None

    def text(self, name: str, default: str | None = None) -> str:
        """A non-empty string, or the default where the member is absent."""
        value = self._data.get(name, default)
        if not isinstance(value, str) or (not value and default is None):
            raise MalformedError(f"{name} is a string")
        return value

    def amount(self, name: str) -> int:
        """Whole minor units; a float is refused, 1.0 as well."""
        value = self._data.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise MalformedError(f"{name} is a whole number of minor units")
        return value

    def object(self, name: str) -> Fields:
        """A nested object; an absent one is empty."""
        return Fields(self._data.get(name, {}))

    def __contains__(self, name: str) -> bool:
        return name in self._data
