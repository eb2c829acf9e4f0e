"""Every policy there is, registered in one visible list."""

from gateway.policies.authentication import AuthenticationConfig
from gateway.policies.cache import CacheConfig
from gateway.policies.circuit_breaker import CircuitBreakerConfig
from gateway.policies.concurrency import ConcurrencyConfig
from gateway.policies.error_codes import ErrorCodesConfig
from gateway.policies.fallback import FallbackConfig
from gateway.policies.headers import HeadersConfig
from gateway.policies.ip_allow_list import IpAllowListConfig
from gateway.policies.rate_limit import RateLimitConfig
from gateway.policies.retry import RetryConfig
from gateway.policies.timeout import TimeoutConfig
from gateway.policies.upstream_auth import UpstreamAuthConfig
from gateway.policy import PolicyConfig

POLICIES: dict[str, type[PolicyConfig]] = {
    config.name: config
    for config in (
        IpAllowListConfig,
        AuthenticationConfig,
        RateLimitConfig,
        ConcurrencyConfig,
        CircuitBreakerConfig,
        RetryConfig,
        TimeoutConfig,
        CacheConfig,
        ErrorCodesConfig,
        UpstreamAuthConfig,
        HeadersConfig,
        FallbackConfig,
    )
}
"""Name in YAML → its config model."""

LATER = frozenset({"dialect", "journal", "session"})
"""Policies of a later version. No list may take their names, which would then mean something else."""
