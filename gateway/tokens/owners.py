"""Whose token it is, by its claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.mistakes import Mistake
from gateway.tokens import InvalidCredential

Claims = Mapping[str, Any]


class Owners:
    """(claim, value) → consumers, each perhaps of one issuer only."""

    __slots__ = ("_claims", "_owners")

    def __init__(self) -> None:
        self._claims: tuple[str, ...] = ()
        self._owners: dict[tuple[str, str], list[tuple[str, str | None]]] = {}

    def add(self, names: tuple[str, str], owner: str, issuer: str | None = None) -> None:
        """Let a claim's value mean `owner`. ValueError where it already means somebody else."""
        known = self._owners.setdefault(names, [])
        for other, other_issuer in known:
            if other != owner and (issuer is None or other_issuer is None or issuer == other_issuer):
                raise Mistake(
                    f"consumers {other} and {owner} both own tokens with {names[0]} {names[1]!r}",
                    "each token has to mean one caller: change one of the two",
                )
        known.append((owner, issuer))
        if names[0] not in self._claims:
            self._claims = (*self._claims, names[0])

    def find(self, claims: Claims) -> str:
        """The one consumer that the claims mean. A claim that is a list means each of its values.

        Not `sub`, which is one text (RFC 7519 §4.1.2).
        """
        found = self._matching(claims)
        if not found:
            raise InvalidCredential("the token is valid, but belongs to no known consumer")
        if len(found) > 1:
            raise InvalidCredential("the token belongs to several consumers at once")
        return found.pop()

    def claimed(self, claims: Claims) -> bool:
        """Do the claims, verified or not, mean anybody here?"""
        return bool(self._matching(claims))

    def _matching(self, claims: Claims) -> set[str]:
        found: set[str] = set()
        for claim in self._claims:
            value = claims.get(claim)
            for one in value if isinstance(value, list) and claim != "sub" else (value,):
                if isinstance(one, str):
                    for owner, issuer in self._owners.get((claim, one), ()):
                        if issuer is None or claims.get("iss") == issuer:
                            found.add(owner)
        return found
