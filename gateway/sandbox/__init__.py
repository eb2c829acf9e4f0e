"""Simulated game providers and a simulated platform: real HTTP servers that misbehave on demand.

Nothing here imports the rest of the gateway, so what they say about it is a stranger's view.
"""

from gateway.sandbox.platform import platform_sandbox, serve_platform
from gateway.sandbox.providers import provider_sandbox, serve_provider

__all__ = ["platform_sandbox", "provider_sandbox", "serve_platform", "serve_provider"]
