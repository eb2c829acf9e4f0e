"""How a call leaves: connections, pools, balancing, health, and HTTP off the hot path."""

from gateway.upstream.control import HttpxControlClient
from gateway.upstream.settings import TargetConfig, TlsConfig, UpstreamConfig
from gateway.upstream.upstream import Upstream

__all__ = ["HttpxControlClient", "TargetConfig", "TlsConfig", "Upstream", "UpstreamConfig"]
