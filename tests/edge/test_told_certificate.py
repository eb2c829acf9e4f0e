"""What proxies write of their callers' certificates is read; what could be read in two ways is refused."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.told_certificate import told_certificate
from gateway.errors import Refused
from tests.upstream.keys import der_of

LEAF = trustme.CA().issue_cert("platform.example")
DER = der_of(LEAF)
BASE64 = b64encode(DER)
PEM = LEAF.cert_chain_pems[0].bytes()
ESCAPED = quote(PEM, safe="").encode()
NAME = b"client-cert"


def read(*values: bytes) -> bytes | None:
    return told_certificate(NAME, [(b"x-forwarded-for", b"1.1.1.1"), *((NAME, value) for value in values)])


@pytest.mark.parametrize(
    "value",
    [
        b":%b:" % BASE64,
        ESCAPED,
        quote(PEM, safe="/=+").encode(),
        quote(PEM.strip().replace(b"\n", b"\r\n"), safe="").encode(),
        b'Cert="%b"' % ESCAPED,
        b'By=spiffe://a/b;Hash=00ff;Cert="%b";Subject="CN=a,O=\\"b;Cert=\\"";URI=' % ESCAPED,
        b"Hash=00ff;cert=%b;DNS=platform.example" % ESCAPED,
    ],
    ids=["rfc 9440", "nginx", "few escapes", "crlf", "envoy's certificate alone", "envoy", "unquoted"],
)
def test_forms_that_proxies_write(value: bytes) -> None:
    assert read(value) == DER


@pytest.mark.parametrize("values", [(), (b"",), (b"By=a;Hash=00",), (b'Hash=00;Subject="x";Cert=',)])
def test_callers_without_one(values: tuple[bytes, ...]) -> None:
    assert read(*values) is None


@pytest.mark.parametrize(
    "values",
    [
        (ESCAPED, ESCAPED),
        (b"", ESCAPED),
        (b":%b:, :%b:" % (BASE64, BASE64),),
        (b":",),
        (b"::",),
        (b":AAAA",),
        (b":AAA:",),
        (b":AA=A:",),
        (b":A A A:",),
        (BASE64,),
        (ESCAPED + ESCAPED,),
        (ESCAPED + b"x",),
        (ESCAPED.replace(b"CERTIFICATE", b"PRIVATE%20KEY"),),
        (b"-----BEGIN%20CERTIFICATE-----%0A%0A-----END%20CERTIFICATE-----",),
        (b"-----BEGIN%20CERTIFICATE-----%0AA%zz%0A-----END%20CERTIFICATE-----",),
        (b'Cert="%b",Cert="%b"' % (ESCAPED, ESCAPED),),
        (b'Cert="%b";Cert="%b"' % (ESCAPED, ESCAPED),),
        (b'By=a,Cert="%b"' % ESCAPED,),
        (b'Cert="%b' % ESCAPED,),
        (b'Cert="hello"',),
        (b"hello",),
    ],
)
def test_what_could_mean_two_things_or_nothing(values: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as caught:
        read(*values)
    assert caught.value.code == "BAD_REQUEST"
    assert caught.value.detail.startswith("the header client-cert ")


@given(st.binary(max_size=200), st.sampled_from([b"", b":", b"-----BEGIN", b"Cert=", b'Hash=a;Cert="']))
def test_nothing_else_is_raised(junk: bytes, before: bytes) -> None:
    with suppress(Refused):
        read(before + junk)
