"""What `audit:` may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.audit.settings import AuditConfig

KEY = "0123456789abcdef0123456789abcdef"


def test_a_key_is_all_that_must_be_given() -> None:
    config = AuditConfig.model_validate({"key": KEY})
    assert (config.directory, config.calls, config.on_full, config.queue) == (
        "audit",
        "refused",
        "refuse",
        10_000,
    )
    assert config.head.path is None
    assert KEY not in repr(config)


@pytest.mark.parametrize("key", ["", "short", " " * 40])
def test_a_key_that_could_be_guessed_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="openssl rand"):
        AuditConfig.model_validate({"key": key})
    with pytest.raises(ValidationError, match="openssl rand"):
        AuditConfig.model_validate({"key": KEY, "old_keys": [key]})
