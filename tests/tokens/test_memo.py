"""Small stores: bounded, and telling nothing."""

import pytest

from gateway.tokens import InvalidCredential
from gateway.tokens.memo import Memo
from gateway.tokens.owners import Owners
from gateway.tokens.secret_table import SecretTable


def test_a_memo_forgets_the_oldest_when_full_and_all_in_time():
    memo = Memo(limit=2)
    memo.put(b"a", 1, 10.0)
    memo.put(b"b", 2, 10.0)
    memo.put(b"a", 3, 20.0)
    memo.put(b"c", 4, 10.0)
    assert (memo.get(b"a", 0), memo.get(b"b", 0), memo.get(b"c", 0)) == (3, None, 4)
    assert memo.get(b"c", 10.0) is None
    assert len(memo) == 1
    memo.clear()
    assert memo.get(b"a", 0) is None


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
    assert "one" not in str(caught.value)


def test_owners_by_claim():
    owners = Owners()
    owners.add(("sub", "a"), "aurora", "https://one.example")
    owners.add(("sub", "a"), "borealis", "https://two.example")
    owners.add(("azp", "p"), "platform")
    owners.add(("roles", "wallet"), "borealis")
    assert owners.find({"sub": "a", "iss": "https://two.example"}) == "borealis"
    assert owners.find({"azp": "p", "sub": 7}) == "platform"
    assert owners.find({"roles": ["x", 7, "wallet"]}) == "borealis"
    assert not owners.claimed({"sub": "a", "iss": "https://three.example"})
    with pytest.raises(InvalidCredential, match="no known consumer"):
        owners.find({"sub": "a"})
    with pytest.raises(InvalidCredential, match="several"):
        owners.find({"azp": "p", "roles": ["wallet"]})
    with pytest.raises(ValueError, match="platform and aurora both own tokens"):
        owners.add(("azp", "p"), "aurora", "https://one.example")
