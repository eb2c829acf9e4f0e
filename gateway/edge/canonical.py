"""The one form of a path, and of an authority, that is matched, authorised, logged and forwarded.

RFC 3986 §6.2.2 normalisation, and a refusal wherever two servers could read one path differently:
encoded separators, path parameters, empty segments, control characters, double encoding, bytes that
are not UTF-8. Pure functions.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from gateway.errors import Refused

_UNRESERVED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
_PLAIN = _UNRESERVED + b"/!$&'()*+,=:@"
"""What may stand unencoded in a path: RFC 3986 pchar and `/`, without `;`, which some origins cut at."""
_DECODED = frozenset(_UNRESERVED)
_SEPARATORS = frozenset(b"/\\")
_DANGEROUS_TWICE = frozenset([*range(0x20), 0x7F, *b"/\\.%;?#"])
"""What `%25XX` must not turn into for an origin that decodes once more."""
_HEX = frozenset(b"0123456789abcdefABCDEF")
_HOST = re.compile(rb"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[([0-9A-Fa-f:.]+)\])(?::(\d{1,5}))?")


def canonical_path(path: bytes) -> str:
    """The canonical form of an absolute path, percent-encoded. Raises `Refused` where there is none."""
    # Three cases, in order of frequency: nothing to do; dot segments only; percent escapes as well.
    if path.translate(None, _PLAIN):
        path = _decode_unreserved(path)
    if not path.startswith(b"/"):
        raise Refused("BAD_REQUEST", "the path does not begin with a slash")
    if b"//" in path:
        raise Refused("BAD_REQUEST", "the path has an empty segment")
    if b"/." in path:
        path = _without_dot_segments(path)
    return path.decode("ascii")


def _decode_unreserved(path: bytes) -> bytes:
    first, *escaped = path.split(b"%")
    if (first + b"".join([piece[2:] for piece in escaped])).translate(None, _PLAIN):
        raise Refused(
            "BAD_REQUEST", "the path has a character that must be percent-encoded, or a path parameter"
        )
    parts, data = [first], bytearray(first)
    for piece in escaped:
        if len(piece) < 2 or piece[0] not in _HEX or piece[1] not in _HEX:
            raise Refused("BAD_REQUEST", "the path has an invalid percent escape")
        byte = int(piece[:2], 16)
        if byte in _SEPARATORS or byte < 0x20 or byte == 0x7F:
            raise Refused("BAD_REQUEST", "the path has an encoded separator or control character")
        parts.append(b"%c" % byte if byte in _DECODED else b"%%%02X" % byte)
        parts.append(piece[2:])
        data.append(byte)
        data += piece[2:]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("BAD_REQUEST", "the path is not UTF-8") from None
    decoded = b"".join(parts)
    _refuse_double_encoding(decoded)
    return decoded


def _refuse_double_encoding(path: bytes) -> None:
    for piece in path.split(b"%25")[1:]:
        digits = piece[:2]
        if (
            len(digits) == 2
            and digits[0] in _HEX
            and digits[1] in _HEX
            and int(digits, 16) in _DANGEROUS_TWICE
        ):
            raise Refused("BAD_REQUEST", "the path is percent-encoded twice")


def _without_dot_segments(path: bytes) -> bytes:
    segments: list[bytes] = []
    pieces = path.split(b"/")[1:]
    for piece in pieces:
        if piece == b"..":
            if not segments:
                raise Refused("BAD_REQUEST", "the path leads above the root")
            segments.pop()
        elif piece != b".":
            segments.append(piece)
    if pieces[-1] in (b".", b".."):
        segments.append(b"")
    return b"/" + b"/".join(segments)


def canonical_authority(host: bytes) -> str:
    """A Host value in lower case, without the root's dot. Raises `Refused` for anything but host[:port]."""
    match = _HOST.fullmatch(host)
    if match is None or (match[2] is not None and int(match[2]) > 65535):
        raise Refused("BAD_REQUEST", "Host is not a host and an optional port")
    text = host.decode().lower()
    if match[1] is not None:
        try:
            IPv6Address(match[1].decode())
        except ValueError:
            raise Refused("BAD_REQUEST", "Host is not a valid IPv6 address") from None
        return text
    name, colon, port = text.partition(":")
    return name.removesuffix(".") + colon + port
