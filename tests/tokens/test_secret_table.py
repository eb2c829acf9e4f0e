"""Secrets: found, but not kept."""

import pytest

from gateway.tokens.secret_table import SecretTable


def test_a_secret_is_found_but_not_kept():
    table = SecretTable(b"k" * 32)
    table.add(b"one secret", "aurora")
    table.add(b"one secret", "aurora")
    table.add(b"next secret", "aurora")
    assert table.find(b"one secret") == table.find(b"next secret") == "aurora"
    assert table.find(b"") is None
    assert table.find(b"one secre") is None
    assert repr(table) == "<SecretTable of 2>"
    assert "secret" not in str(table._owners)
    with pytest.raises(ValueError, match="aurora and borealis have the same secret") as caught:
        table.add(b"one secret", "borealis")
    assert "one secret" not in str(caught.value)
