from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.client_address import ClientAddresses, canonical_address
from gateway.errors import Refused

XFF, FWD, XFP = b"x-forwarded-for", b"forwarded", b"x-forwarded-proto"
PROXIES = ["10.0.0.0/8", "2001:db8:1::/48"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7:8080 ", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:99", "203.0.113.7"),
        ('"[2001:DB8:0::1]:443"', "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_one_form_of_an_address(text: str, canonical: str):
    assert canonical_address(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:x", "[::1", "[::1]x", "[::1]:y", "010.0.0.1", "1.2.3.4:5:6"],
)
def test_what_is_no_address(text: str):
    with pytest.raises(ValueError):
        canonical_address(text)


@pytest.mark.parametrize(
    ("headers", "client", "scheme"),
    [
        ([], "10.0.0.1", ""),
        ([(XFF, b"203.0.113.7")], "203.0.113.7", ""),
        ([(XFF, b"6.6.6.6, 203.0.113.7")], "203.0.113.7", ""),
        ([(XFF, b"6.6.6.6"), (XFF, b"203.0.113.7:1, 10.9.9.9")], "203.0.113.7", ""),
        ([(XFF, b"::ffff:10.9.9.9, ::ffff:10.1.1.1")], "10.9.9.9", ""),
        ([(XFF, b"6.6.6.6, unknown")], "10.0.0.1", ""),
        ([(XFF, b"6.6.6.6, unknown, 10.2.2.2")], "10.2.2.2", ""),
        ([(XFF, b"6.6.6.6,")], "10.0.0.1", ""),
        ([(FWD, b'For="[2001:db8:2::1]:9";proto=HTTPS, for=10.3.3.3;proto=https')], "2001:db8:2::1", "https"),
        ([(FWD, b"for=6.6.6.6, by=1.1.1.1")], "10.0.0.1", ""),
        ([(XFF, b"203.0.113.7"), (FWD, b"for=203.0.113.7")], "203.0.113.7", ""),
        ([(XFF, b"203.0.113.7"), (XFP, b"http, https")], "203.0.113.7", "https"),
        ([(XFP, b"gopher")], "10.0.0.1", ""),
    ],
)
def test_the_rightmost_untrusted_hop_is_the_client(
    headers: list[tuple[bytes, bytes]], client: str, scheme: str
):
    assert ClientAddresses(PROXIES).client("10.0.0.1", headers) == (client, scheme)


def test_two_headers_that_disagree_are_refused():
    with pytest.raises(Refused) as caught:
        ClientAddresses(PROXIES).client("10.0.0.1", [(XFF, b"203.0.113.7"), (FWD, b"for=6.6.6.6")])
    assert caught.value.code == "BAD_REQUEST"


def test_peers():
    addresses = ClientAddresses(PROXIES)
    assert addresses.of_peer(("::ffff:10.0.0.1", 1, 0, 0)) == ("10.0.0.1", True)
    assert addresses.of_peer(("203.0.113.7", 1)) == ("203.0.113.7", False)
    assert addresses.of_peer("") == addresses.of_peer(None) == ("127.0.0.1", False)
    assert ClientAddresses().of_peer(("::ffff:10.0.0.1", 1)) == ("10.0.0.1", False)


def test_memory_is_bounded():
    addresses = ClientAddresses(PROXIES)
    for number in range(10_000):
        addresses.look_up(f"1.1.{number // 250}.{number % 250}")
    assert len(addresses._known) <= 4096


@given(
    st.lists(st.ip_addresses(), min_size=1), st.lists(st.ip_addresses(v=4, network="10.0.0.0/8"), max_size=3)
)
def test_what_a_client_claims_never_changes_who_it_is(claims: list[object], proxies: list[object]):
    hops = ", ".join(map(str, [*claims, "203.0.113.7", *proxies])).encode()
    assert ClientAddresses(PROXIES).client("10.0.0.1", [(XFF, hops)])[0] == "203.0.113.7"
