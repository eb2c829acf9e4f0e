"""Answers from memory what may be."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy import PolicyConfig


class CacheConfig(PolicyConfig):
    """Answers from memory what may be."""

    name: ClassVar[str] = "cache"
