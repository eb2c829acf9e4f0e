"""Provider Gateway: every call between a casino platform and its game providers, both ways."""

__version__ = "0.1.0"
