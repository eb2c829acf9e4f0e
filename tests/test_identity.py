"""Who counts as one caller."""

from __future__ import annotations

import pytest

from gateway.consumers import Consumer
from gateway.identity import identifier
from tests.support import make_exchange


@pytest.mark.parametrize("by", ["route", "upstream"])
def test_everybody_together(by):
    assert identifier(by)(make_exchange(client="1.2.3.4")) == identifier(by)(make_exchange(client="5.6.7.8"))


def test_an_ipv6_subscriber_is_one_network():
    identify = identifier("client")
    addresses = ["2001:db8::1", "2001:db8::ffff:0:1", "2001:db8::1%eth0"]
    assert len({identify(make_exchange(client=address)) for address in addresses}) == 1
    assert identify(make_exchange(client="2001:db8:0:1::1")) != identify(make_exchange(client=addresses[0]))
    assert identify(make_exchange(client="192.0.2.1")) == "192.0.2.1"


def test_an_unknown_caller_is_its_address_and_no_consumer_can_be_called_so():
    identify, call = identifier("consumer"), make_exchange(client="192.0.2.1")
    assert identify(call) == "@192.0.2.1"
    call.consumer = Consumer("platform")
    assert identify(call) == "platform"


def test_a_header_of_any_length_is_a_short_key():
    identify = identifier("header:X-Brand")

    def key(value):
        return identify(make_exchange(headers=[(b"x-brand", value)]))

    assert key(b"main") == "main"
    assert identify(make_exchange()) == ""
    assert key(b"\xff") == "\xff"
    long = {key(b"a" * 64), key(b"a" * 65), key(b"a" * 66)}
    assert len(long) == 3
    assert max(map(len, long)) == 64
