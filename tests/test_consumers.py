"""What YAML may say about callers."""

import pytest
from pydantic import ValidationError

from gateway.consumers import ConsumerConfig, CredentialConfig, JwtVerification

SECRET = "correct horse battery staple, in full"


def credential(**fields):
    return CredentialConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"api_key": SECRET}, "api_key"),
        ({"basic": {"username": "aurora", "password": SECRET}}, "basic"),
        ({"jwt": {"subject": "aurora"}}, "jwt"),
        ({"jwt": {"claim": "azp", "value": "aurora", "issuer": "https://id.example"}}, "jwt"),
        ({"jwt": {"subject": "aurora", "key": SECRET, "audience": ["gateway"]}}, "jwt"),
        ({"introspection": {"client_id": "aurora"}}, "introspection"),
        ({"introspection": {"subject": "aurora"}}, "introspection"),
        ({"client_certificate": {"subject": "CN=aurora,O=Aurora Games"}}, "client_certificate"),
        ({"client_certificate": {"san": "aurora.example"}}, "client_certificate"),
        ({"client_certificate": {"sha256": "AB:" * 31 + "cd"}}, "client_certificate"),
    ],
)
def test_a_credential_is_one_of_five_kinds(fields, kind):
    assert credential(**fields).kind == kind


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of .* here is none"),
        ({"api_key": None}, "api_key is empty"),
        ({"api_key": SECRET, "jwt": {"subject": "a"}}, "here are api_key and jwt"),
        ({"api_key": ""}, "the secret is empty"),
        ({"basic": {"username": "a:b", "password": SECRET}}, "hold a colon"),
        ({"basic": {"username": "", "password": SECRET}}, "may not be empty"),
        ({"basic": {"username": "a", "password": "b\n"}}, "control characters"),
        ({"basic": {"username": "a"}}, "password"),
        ({"jwt": {}}, "`subject`, or `claim` and `value`"),
        ({"jwt": {"subject": "a", "claim": "b", "value": "c"}}, "`subject`, or `claim` and `value`"),
        ({"jwt": {"claim": "b"}}, "`subject`, or `claim` and `value`"),
        ({"jwt": {"subject": "a", "value": "b"}}, "`subject`, or `claim` and `value`"),
        ({"jwt": {"subject": "a", "audience": ["x"]}}, "audience needs a `key` or `jwks` of its own"),
        ({"introspection": {}}, "`client_id` or `subject`"),
        ({"introspection": {"client_id": "a", "subject": "b"}}, "`client_id` or `subject`"),
        ({"client_certificate": {}}, "`subject`, `san` or `sha256`"),
        ({"client_certificate": {"subject": "aurora"}}, "is not a subject"),
        ({"client_certificate": {"sha256": "abc"}}, "64 hexadecimal digits"),
        ({"password": SECRET}, "Extra inputs"),
    ],
)
def test_what_is_no_credential_is_refused_and_no_secret_told(fields, message):
    with pytest.raises(ValidationError, match=message) as caught:
        credential(**fields)
    assert all(SECRET not in error["msg"] for error in caught.value.errors())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"key": SECRET, "jwks": "https://id.example/keys"}, "not with both"),
        ({"jwks": "https://id.example/keys", "algorithms": ["HS256"]}, "no URL may publish"),
        ({"key": SECRET, "algorithms": ["HS256", "RS256"]}, "make two `jwt` entries"),
        ({"key": SECRET, "algorithms": ["none"]}, "algorithms"),
        ({"jwks": "file:///etc/passwd"}, "is not an http or https URL"),
        ({"jwks": "https://me:secret@id.example/keys"}, "may not carry a user name"),
        ({"leeway": "5"}, "is not a duration"),
    ],
)
def test_verification_is_refused_where_it_would_be_unsafe(fields, message):
    with pytest.raises(ValidationError, match=message):
        JwtVerification.model_validate(fields)


def test_a_consumer_at_run_time():
    config = ConsumerConfig.model_validate({"credentials": [{"api_key": SECRET}], "networks": ["10.0.0.0/8"]})
    consumer = config.consumer("aurora", "provider")
    assert (consumer.name, consumer.kind) == ("aurora", "provider")
    assert [str(network) for network in consumer.networks] == ["10.0.0.0/8"]
    assert consumer.credentials[0].kind == "api_key"
    for shown in (
        repr(consumer),
        repr(config),
        config.model_dump_json(),
        str(config.model_dump(mode="json")),
    ):
        assert SECRET not in shown


def test_equal_settings_are_one_key_and_other_secrets_are_another():
    one, same, other = (
        JwtVerification.model_validate({"key": key}) for key in (SECRET, SECRET, SECRET + "!")
    )
    assert hash(one) == hash(same)
    assert one == same
    assert one != other


def test_basic_credentials_are_nfc_on_the_wire():
    decomposed = credential(basic={"username": "e\u0301", "password": "x"}).basic
    assert decomposed is not None
    assert decomposed.on_the_wire() == "é:x".encode()


def test_header_names():
    from pydantic import TypeAdapter

    from gateway.consumers import HeaderName

    adapter = TypeAdapter(HeaderName)
    assert adapter.validate_python("X-Api-Key") == "x-api-key"
    for bad in ("", "a b", "x:y", "ключ", "Host", "Connection", "X-Forwarded-For"):
        with pytest.raises(ValidationError):
            adapter.validate_python(bad)
