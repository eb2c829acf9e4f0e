"""YAML to frozen models; every error names file, line and column."""

from gateway.config.configuration import Config, PlacedPolicy
from gateway.config.findings import ConfigError, Finding, Place, render_findings
from gateway.config.loading import check, load

__all__ = [
    "Config",
    "ConfigError",
    "Finding",
    "Place",
    "PlacedPolicy",
    "check",
    "load",
    "render_findings",
]
