"""The guided tour: `gateway demo [--once]`."""

from gateway.demo.tour import run

__all__ = ["run"]
