"""Pinned keys: a handshake that was verified fails all the same where the key is not one of those expected.

Whoever gets an authority to issue a certificate for a provider's name still has not got its key.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection

from gateway.certificates import pin_of


class UnpinnedKeyError(ssl.SSLCertVerificationError):
    """The target showed another key than those that are pinned."""

    def __init__(self, pin: str) -> None:
        super().__init__(f"the key {pin} is not pinned")
        self.pin = pin


class _Pinned(ssl.SSLObject):
    """A TLS connection whose handshake ends with a look at the key: nothing was sent by then."""

    pins: Collection[str] = ()

    def do_handshake(self) -> None:
        super().do_handshake()
        shown = self.getpeercert(binary_form=True)
        assert shown is not None  # the context verifies
        pin = pin_of(shown)
        if pin not in self.pins:
            raise UnpinnedKeyError(pin)


def insist(context: ssl.SSLContext, pins: Collection[str]) -> None:
    """Let no connection of `context` come about but with one of these keys; with none given, all may."""
    wanted = frozenset(pins)
    if wanted != getattr(context.sslobject_class, "pins", frozenset()):
        context.sslobject_class = type("Pinned", (_Pinned,), {"pins": wanted}) if wanted else ssl.SSLObject
