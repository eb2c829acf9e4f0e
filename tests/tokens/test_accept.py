"""Ways in, as YAML and editors know them."""

import pytest

from gateway.policies.authentication import AuthenticationConfig
from gateway.tokens.accept import Accept, credential_places


def test_editors_know_bare_names_and_mappings():
    ways = AuthenticationConfig.model_json_schema()["$defs"]["Accept"]["anyOf"]
    assert ways[0] == {"type": "string", "enum": ["api_key", "basic", "jwt", "client_certificate"]}
    assert "introspection" in ways[1]["properties"]


@pytest.mark.parametrize(
    ("way", "kind", "words"),
    [
        ("api_key", "api_key", "an API key in x-api-key"),
        ({"api_key": {"header": "X-Key"}}, "api_key", "an API key in x-key"),
        ("basic", "basic", "HTTP Basic"),
        ("jwt", "jwt", "a JWT"),
        ("client_certificate", "client_certificate", "a client certificate"),
    ],
)
def test_a_way_in_says_what_it_is(way, kind, words):
    accept = Accept.model_validate(way)
    assert (accept.kind, accept.describe()) == (kind, words)


def test_credentials_are_hidden_wherever_one_could_be():
    ways = tuple(
        Accept.model_validate(way) for way in ({"api_key": {"query": "k"}}, {"api_key": {"header": "X-Key"}})
    )
    assert credential_places(ways) == ({b"authorization", b"x-api-key", b"x-key"}, {"k"})
