from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.edge.canonical import canonical_path
from gateway.errors import Refused


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"/", "/"),
        (b"/aurora/games", "/aurora/games"),
        (b"/aurora/games/", "/aurora/games/"),
        (b"/a!$&'()*+,=:@b", "/a!$&'()*+,=:@b"),
        (b"/%41%7e%2D", "/A~-"),
        (b"/%c3%a9", "/%C3%A9"),
        (b"/a%20b%3f", "/a%20b%3F"),
        (b"/a/./b", "/a/b"),
        (b"/a/../b", "/b"),
        (b"/a/%2e%2E/b", "/b"),
        (b"/a/b/..", "/a/"),
        (b"/a/.", "/a/"),
        (b"/.", "/"),
        (b"/...", "/..."),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/100%25", "/100%25"),
        (b"/%25zz", "/%25zz"),
        (b"/%2541", "/%2541"),
    ],
)
def test_what_has_one_canonical_form(path: bytes, canonical: str):
    assert canonical_path(path) == canonical


@pytest.mark.parametrize(
    "path",
    [
        *(b"", b"a", b"*", b"%2fa", b"//", b"/a//b", b"/a/", b"/../a", b"/a/../../b", b"/%2e%2e", b"/..")[:5],
        *(b"/../a", b"/a/../../b", b"/%2e%2e", b"/..", b"/a/..//b", b"/a/%2e//b"),
        *(b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a\\b", b"/a;x", b"/..;/b", b"/a%00b", b"/a%0ab", b"/a%7f"),
        *(
            b"/%zz",
            b"/%2",
            b"/%",
            b"/a%%32f",
            b"/%c0%af",
            b"/%ff",
            b"/\xc3\xa9",
            b"/a b",
            b'/a"',
            b"/a|b",
            b"/a^b",
        ),
        *(b"/%252f", b"/%252e%252e", b"/%25%32%66", b"/%25252e", b"/%255c", b"/%2500", b"/%253b"),
    ],
)
def test_what_has_none_is_refused(path: bytes):
    with pytest.raises(Refused) as caught:
        canonical_path(path)
    assert caught.value.code == "BAD_REQUEST"


_pieces = st.sampled_from(
    [b"/", b".", b"..", b"a", b"%", b"2", b"e", b"f", b"%2e", b"%25", b"%41", b"%c3%a9", b";", b"~"]
)


@given(st.lists(_pieces | st.binary(max_size=3), max_size=12).map(lambda parts: b"/" + b"".join(parts)))
@example(b"/%25%32%65")
def test_canonical_is_idempotent_and_leaves_nothing_to_argue_about(path: bytes):
    try:
        canonical = canonical_path(path)
    except Refused:
        return
    assert canonical_path(canonical.encode()) == canonical
    assert canonical.startswith("/")
    assert "//" not in canonical
    assert not {".", ".."} & set(canonical.split("/"))
    lowered = canonical.lower()
    assert not any(bad in lowered for bad in ("\\", ";", "%2f", "%5c", "%00", "%2e", "%252e", "%252f"))
