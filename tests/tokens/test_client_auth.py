"""How we prove ourselves to an OAuth2 endpoint."""

from pydantic import SecretStr

from gateway.tokens.client_auth import client_auth


def test_basic_is_form_encoded_first_and_the_body_is_not_encoded_twice():
    secret = SecretStr("s:cr et")
    assert client_auth("basic", "gate way", secret) == ({}, ("gate+way", "s%3Acr+et"))
    assert client_auth("body", "gate way", secret) == (
        {"client_id": "gate way", "client_secret": "s:cr et"},
        None,
    )
