"""YAML to frozen models; every error names file, line and column."""

from gateway.config.changes import diff
from gateway.config.configuration import Config, PlacedPolicy
from gateway.config.findings import ConfigError, Finding, Place, render_findings
from gateway.config.loading import check, load
from gateway.config.schema import json_schema, policies_schema

__all__ = [
    "Config",
    "ConfigError",
    "Finding",
    "Place",
    "PlacedPolicy",
    "check",
    "diff",
    "json_schema",
    "load",
    "policies_schema",
    "render_findings",
]
