"""Where credentials are shown."""

import pytest

from gateway.tokens.schemes import HeaderKey, QueryKey, parameter_name
from gateway.tokens.secret_table import SecretTable
from tests.support import make_exchange


@pytest.mark.parametrize("part", ["key", "key=", "key=a=b", "%6bey=1", "k%65y=1"])
def test_a_parameters_name_is_what_others_decode_it_to(part):
    assert parameter_name(part) == "key"


def test_a_key_in_the_query_is_decoded_to_bytes():
    scheme = QueryKey("key", SecretTable(b"k" * 32))
    for query, shown in (
        ("key=a%20b", b"a b"),
        ("key=a+b", b"a b"),
        ("key=%FF", b"\xff"),
        ("key", b""),
        ("k=1", None),
    ):
        assert scheme.shown(make_exchange(query=query)) == shown


async def test_an_offline_scheme_has_nobody_to_ask():
    scheme = HeaderKey("x-api-key", SecretTable(b"k" * 32))
    assert scheme.asks == ""
    with pytest.raises(AssertionError):
        await scheme.ask(b"")
