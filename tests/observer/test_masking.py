"""A person's data by name and by form, and nothing else."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observer.masking import MASKED, Masking, MaskSettings, is_personal

CARD = "4111111111111111"
TEMPLATE = "/launch/:token/:username/:game"
PERSONAL = """email E-Mail playerEmail mail firstName last_name full-name address homeAddress ip_address
    phone PHONE_NUMBER mobile birthDate date_of_birth dob playerName user%4eame nickname postal_code iban
    passport cvv
    cardNumber"""
ORDINARY = "game currency playerId page name gameName hostname amount round provider panel mailing addressee"


@pytest.fixture
def masking() -> Masking:
    return Masking()


@pytest.mark.parametrize("name", PERSONAL.split())
def test_names_that_tell_of_a_person(name: str, masking: Masking) -> None:
    assert is_personal(name)
    assert masking.query(f"a=1&{name}=J%C3%B3n&b=2") == f"a=1&{name}=MASKED&b=2"


@pytest.mark.parametrize("name", ORDINARY.split())
def test_names_that_do_not(name: str, masking: Masking) -> None:
    assert masking.query(f"{name}=7") == f"{name}=7"


def test_secrets_are_redacted_and_go_before(masking: Masking) -> None:
    assert masking.query("token=a@b.co&email=a&k=s&page=2", ("k",)) == (
        "token=REDACTED&email=MASKED&k=REDACTED&page=2"
    )
    assert masking.query("%6b=a@b.co", ("k",)) == "%6b=REDACTED"
    assert masking.query("") == ""


def test_names_may_be_added_and_taken_away() -> None:
    settings = MaskSettings(parameters=("playerTag",), show=("ip-address", "email"))
    masking = Masking(settings)
    assert masking.query("player_tag=x&ipAddress=10.0.0.1&email=me&phone=1") == (
        "player_tag=MASKED&ipAddress=10.0.0.1&email=me&phone=MASKED"
    )
    assert masking.query("email=a@b.co") == "email=MASKED", "an address is one by its form, too"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("to=john.doe@example.com", "to=MASKED"),
        ("to=john.doe%40example.com&x=1", "to=MASKED&x=1"),
        ("to=john.doe%2540example%252ecom", "to=MASKED"),
        ("to=J%C3%B3n+%3Cjon%2Btag%40mail.example.co.uk%3E", "to=J%C3%B3n%20%3CMASKED%3E"),
        ("john@example.com", "MASKED"),
        ("=john@example.com", "=MASKED"),
        ("john%40example.com=1", "MASKED=1"),
        ("a&john@example.com;b=1", "a&MASKED;b=1"),
        ("to=j%F6rg@example.com", "to=MASKED"),
        ("to=o%27brien@example.com&at=jon@x", "to=MASKED&at=jon@x"),
        ("to=j\u00f6rg@example.com", "to=MASKED"),
        ("at=@&x=a@b&y=%40", "at=@&x=a@b&y=%40"),
        (f"c={CARD}", "c=MASKED"),
        ("c=4111-1111-1111-1111&c=4111+1111+1111+1111", "c=MASKED&c=MASKED"),
        ("c=4111%201111%201111%201111", "c=MASKED"),
        ("c=%34111111111111111", "c=MASKED"),
        ("c=visa%204111111111111111%20exp", "c=visa%20MASKED%20exp"),
        ("c=10+4111111111111111+20", "c=10%20MASKED%2020"),
        ("a%20b=1&c=d%20e+f", "a%20b=1&c=d%20e+f"),
        ("c=%zz&d=%", "c=%zz&d=%"),
    ],
)
def test_what_is_masked_by_its_form(query: str, shown: str, masking: Masking) -> None:
    assert masking.query(query) == shown


def test_paths_keep_what_is_no_ones(masking: Masking) -> None:
    assert masking.path("/aurora/games/12") == "/aurora/games/12"
    assert masking.path("/p/john%40example.com/x%20y") == "/p/MASKED/x%20y"
    assert masking.path(f"/pay/{CARD}/done") == "/pay/MASKED/done"
    assert masking.path("/a%20b/%E2%82%AC") == "/a%20b/%E2%82%AC"


def test_parts_of_a_path_are_masked_by_the_routes_names(masking: Masking) -> None:
    path = "/launch/s3cret/bob/7"
    assert masking.path(path, TEMPLATE) == "/launch/REDACTED/MASKED/7"
    assert masking.path("/launch", TEMPLATE) == "/launch", "cut off"
    assert masking.target("/v1/7/bob?t=s3cret&sid=x", path, TEMPLATE) == "/v1/7/MASKED?t=s3cret&sid=REDACTED"
    assert masking.target("/v1/s3cret/launch/bob", path, TEMPLATE) == "/v1/REDACTED/launch/MASKED"
    assert masking.target("/v1?", path) == "/v1?"
    named = Masking(MaskSettings(parameters=("game",)))
    assert named.path(path, TEMPLATE) == "/launch/REDACTED/MASKED/MASKED"


def test_forms_can_be_switched_off() -> None:
    masking = Masking(MaskSettings(emails=False, card_numbers=False))
    assert masking.path(f"/{CARD}/a@b.co") == f"/{CARD}/a@b.co"
    assert masking.query(f"a={CARD}&email=a@b.co") == f"a={CARD}&email=MASKED"


def test_attributes_are_masked_as_a_whole() -> None:
    masking = Masking(MaskSettings(attributes=("client.address",)))
    assert masking.named("client.address", "203.0.113.9") == MASKED
    assert masking.named("server.address", "gateway.example") == "gateway.example"


def test_settings_as_the_observer_gets_them() -> None:
    assert MaskSettings.read(None) == MaskSettings.read({}) == MaskSettings()
    assert MaskSettings.read({"parameters": ["a"], "emails": False}) == MaskSettings(("a",), emails=False)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("GET /x?token=s3cret&page=2", "GET /x?token=REDACTED&page=2"),
        ("bad value in 'email=jon&x=1'", "bad value in 'email=MASKED&x=1'"),
        ("at /x?to=jon%40x.example&c=4111+1111+1111+1111&n=a%20b", "at /x?to=MASKED&c=MASKED&n=a%20b"),
        ("authorization: Bearer s3cret-s3cret", "authorization: REDACTED"),
        ("a Bearer abc123.def456 of jon@example.com", "a Bearer REDACTED of MASKED"),
        ("[(b'x-api-key', b's3cret'), (b'a', b'1')]", "[(b'x-api-key', b'REDACTED'), (b'a', b'1')]"),
        ("Cookie: a=s3cret; b=s3cret\nHost: x", "Cookie: REDACTED\nHost: x"),
        ("shows our Basic credentials", "shows our Basic credentials"),
        ("routes.yaml:3:5: error: key is missing", "routes.yaml:3:5: error: key is missing"),
    ],
)
def test_messages_that_quote_somebody(said: str, shown: str, masking: Masking) -> None:
    assert masking.prose(said) == shown


@given(st.text() | st.text("0123456789@.%- +&=;:ae"))
def test_nothing_breaks_it(text: str) -> None:
    masking = Masking()
    for mask in (masking.text, masking.query, masking.path, masking.prose):
        assert isinstance(mask(text), str)
    assert masking.path(quote(text)).count("/") == quote(text).count("/")


@pytest.mark.parametrize(
    "piece", ["1-", "a.", "a@", "@", "%40", "a@b.", "%25", "&", "1", "a=@&", "Bearer ", "a=", "cookie:"]
)
def test_whatever_a_caller_sends_takes_a_time_that_grows_with_its_length_only(
    piece: str, masking: Masking
) -> None:
    def took(length: int) -> float:
        text = piece * (length // len(piece)) + "@"
        began = time.process_time()
        for mask in (masking.text, masking.query, masking.path, masking.prose):
            mask(text)
        return time.process_time() - began

    assert took(32_000) < 0.5 + 40 * took(1000)


def test_names_that_callers_make_up_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observer.masking.REMEMBERED", 8)
    masking = Masking()
    for number in range(40):
        masking.query(f"n{number}=1")
        masking.path(f"/a/{number}", f"/:email{number}/:b{number}")
        masking.path(f"/{number}{'long' * 100}")
    assert 0 < len(masking._of_names) <= 8
    assert 0 < len(masking._marks) <= 8
    assert 0 < len(masking._paths) <= 8
    assert max(map(len, masking._paths)) <= 256


@pytest.mark.parametrize(
    "query",
    [
        "returnUrl=https%3A%2F%2Fx.example%2F%3FauthToken%3Dhunter2",
        "a=b%26token%3Dhunter2",
        "a=b?token=hunter2",
        "launchKey=hunter2",
        "hashkey=hunter2&ticket=hunter2&otk=hunter2&md5=hunter2&accessCode=hunter2",
    ],
)
def test_a_secret_within_a_value_goes_too(query: str) -> None:
    assert "hunter2" not in Masking().query(query)


def test_a_secret_within_a_path_goes_too() -> None:
    assert "hunter2" not in Masking().path("/nowhere/token=hunter2")


def test_names_that_a_configuration_calls_secret() -> None:
    told = Masking().query("a=1&%6b=x;k=y&kk=z&pin=1", ("k",))
    assert told == "a=1&%6b=REDACTED;k=REDACTED&kk=z&pin=REDACTED"
    assert Masking().query("a=1&k=y&kk=z", ("k",)) == "a=1&k=REDACTED&kk=z"
