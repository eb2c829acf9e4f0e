"""Networks: read strictly, found at constant cost."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.networks import NetworkSet, parse_network

v4 = st.builds(
    lambda number, prefix: ip_network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
v6 = st.builds(
    lambda number, prefix: IPv6Network((number, prefix), strict=False),
    st.integers(0, 2**128 - 1),
    st.integers(0, 128),
)


@given(st.lists(v4 | v6, max_size=12), st.ip_addresses(), st.data())
def test_a_set_agrees_with_the_ipaddress_module(networks, stranger, data):
    addresses = [stranger]
    for network in networks:  # addresses at and beside both edges, where mistakes live
        for number in (int(network.network_address), int(network.broadcast_address)):
            for step in (-1, 0, 1):
                if 0 <= number + step < 2**network.max_prefixlen:
                    addresses.append(type(network.network_address)(number + step))
    allowed = NetworkSet(networks)
    for address in addresses:
        if address.version == 6 and address.ipv4_mapped:
            continue
        expected = any(address in network for network in networks if network.version == address.version)
        assert (str(address) in allowed) is expected
        assert (str(address) in allowed) is expected  # from the memo


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        (IPv4Network("10.0.0.0/8"), "10.0.0.0/8"),
    ],
)
def test_networks_are_normalised(text, expected):
    assert str(parse_network(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0/33", "10.1", "example.com", "10.0.0.0/8 ", 10, None, "::/129"]
)
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match="is not a network"):
        parse_network(text)


@pytest.mark.parametrize("text", ["10.1.2.3/8", "2001:db8::1/32"])
def test_a_host_with_a_prefix_is_ambiguous(text):
    with pytest.raises(ValueError, match="names a host and a network"):
        parse_network(text)


def test_v4_mapped_addresses_are_v4():
    assert "::ffff:10.1.2.3" in NetworkSet([ip_network("10.0.0.0/8")])
    assert "::ffff:11.1.2.3" not in NetworkSet([ip_network("10.0.0.0/8")])


@pytest.mark.parametrize("text", ["", "unix:", "localhost", "10.0.0.1:80"])
def test_no_address_is_in_no_network(text):
    assert text not in NetworkSet([ip_network("0.0.0.0/0"), ip_network("::/0")])


def test_a_flood_of_addresses_costs_bounded_memory():
    allowed = NetworkSet([ip_network("10.0.0.0/8")])
    for number in range(20_000):
        assert str(ip_address(0x0A000000 + number)) in allowed
    assert len(allowed._memo) <= 4096
    assert repr(allowed).startswith("<NetworkSet of 1, ")


def test_ten_thousand_networks_cost_what_ten_do():
    """Unknown addresses, so that the memo does not help: 10,000 take ten bisections more than ten do."""
    few = NetworkSet(ip_network((0x0A000000 + (i << 9), 24)) for i in range(10))
    many = NetworkSet(ip_network((0x0A000000 + (i << 9), 24)) for i in range(10_000))
    addresses = [str(ip_address(0x0A000000 + i * 2617)) for i in range(4000)]

    def seconds(allowed):
        best = float("inf")
        for _ in range(15):
            allowed._memo.clear()
            start = perf_counter()
            for address in addresses:
                address in allowed  # noqa: B015
            best = min(best, perf_counter() - start)
        return best

    ratios = [seconds(many) / seconds(few) for _ in range(5)]
    assert min(ratios) < 1.10, ratios
