"""Whose token it is."""

import pytest

from gateway.tokens import InvalidCredential
from gateway.tokens.owners import Owners


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


def test_a_subject_is_one_text():
    owners = Owners()
    owners.add(("sub", "platform"), "platform")
    for subject in (["platform"], {"platform": 1}, None, 7):
        assert not owners.claimed({"sub": subject})
