"""Which consumer a secret belongs to, without keeping the secret."""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

from gateway.mistakes import Mistake


class SecretTable:
    """Secrets as keyed BLAKE2b digests.

    A dictionary finds a digest in a time that depends on its bits, but these tell nothing: without
    the key, drawn anew in every process, nobody can choose a secret for its digest. What is compared
    bit by bit is compared in constant time. API keys and passwords of machines are long and random,
    so a slow password hash would cost every call and protect nothing.
    """

    __slots__ = ("_keyed", "_owners")

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=32)
        """Copied for each secret, which is cheaper than to begin with the key."""
        self._owners: dict[bytes, tuple[bytes, str]] = {}

    def add(self, secret: bytes, owner: str) -> None:
        """Let `secret` prove `owner`. ValueError where it already proves somebody else."""
        keyed = self._keyed.copy()
        keyed.update(secret)
        digest = keyed.digest()
        known = self._owners.setdefault(digest, (digest, owner))
        if known[1] != owner:
            raise Mistake(
                f"consumers {known[1]} and {owner} have the same secret, and could not be told apart",
                "give each caller one of its own",
            )

    def find(self, secret: bytes) -> str | None:
        """Whose secret it is, None where it is nobody's."""
        keyed = self._keyed.copy()
        keyed.update(secret)
        digest = keyed.digest()
        known = self._owners.get(digest)
        return known[1] if known is not None and compare_digest(known[0], digest) else None

    def __len__(self) -> int:
        return len(self._owners)

    def __repr__(self) -> str:
        return f"<SecretTable of {len(self)}>"
