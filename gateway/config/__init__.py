"""YAML to frozen models; every error names file, line and column."""

from gateway.config.changes import diff
from gateway.config.configuration import Config, PlacedPolicy
from gateway.config.findings import ConfigError, Finding, Place, render_findings
from gateway.config.loading import check, examine, load
from gateway.config.schema import json_schema, policies_schema
from gateway.config.workers import check_workers

__all__ = [
    "Config",
    "ConfigError",
    "Finding",
    "Place",
    "PlacedPolicy",
    "check",
    "check_workers",
    "diff",
    "examine",
    "json_schema",
    "load",
    "policies_schema",
    "render_findings",
]
