"""One set of codes for all providers."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class ErrorCodesConfig(PolicyConfig):
    """One set of codes for all providers."""

    name: ClassVar[str] = "error_codes"
