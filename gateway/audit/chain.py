"""One line of an audit log, and what links it to the one before.

    {"seq":7,"previous":"<hash of line 6>",...,"hash":"<64 hex>","mac":"<64 hex>"}

`hash` is SHA-256 over the bytes of the line up to the comma before it; `previous` is among them, so each hash
vouches for everything before it. `mac` is HMAC-SHA256 (RFC 2104) over the 32 bytes of `hash`: without the
key nobody can write a line, however many hashes he computes anew.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Entry = Mapping[str, Any]
"""What is recorded, in JSON's types; `seq`, `previous`, `hash` and `mac` are the chain's."""

GENESIS = "0" * 64
"""`previous` of the first line."""
LINE_LIMIT = 256 * 1024 * 1024
"""Bytes of a line that are read. What callers send is bounded far below; a change of many routes is long."""
_SEAL = re.compile(rb',"hash":"([0-9a-f]{64})","mac":"([0-9a-f]{64})"\}')
SEAL_LENGTH = 148


class Link(NamedTuple):
    """Where a chain stands: after which line, and that line's hash and MAC."""

    seq: int
    hash: str
    mac: str


START = Link(0, GENESIS, "")


class BrokenLinkError(ValueError):
    """A line that is not what was written; the message says in which way."""


def mac(digest: str, key: bytes) -> str:
    """HMAC-SHA256 over a hash in hex."""
    return hmac.new(key, bytes.fromhex(digest), hashlib.sha256).hexdigest()


def seal(entry: Entry, before: Link, key: bytes) -> tuple[bytes, Link]:
    """The line that says `entry` behind `before`, line feed included, and where the chain then stands."""
    seq = before.seq + 1
    body = json.dumps(
        {"seq": seq, "previous": before.hash, **entry}, ensure_ascii=True, separators=(",", ":")
    )
    said = body[:-1].encode()
    digest = hashlib.sha256(said).hexdigest()
    code = mac(digest, key)
    return b'%b,"hash":"%b","mac":"%b"}\n' % (said, digest.encode(), code.encode()), Link(seq, digest, code)


class Line(NamedTuple):
    """A line as it was read."""

    link: Link
    previous: str
    entry: dict[str, Any]


def read(line: bytes) -> Line:
    """What a line (without its line feed) says. BrokenLinkError where it is none, or was changed."""
    found = _SEAL.fullmatch(line, max(0, len(line) - SEAL_LENGTH))
    if found is None:
        raise BrokenLinkError("it does not end in a hash and a MAC")
    said, digest, code = line[: found.start()], found[1].decode(), found[2].decode()
    if hashlib.sha256(said).hexdigest() != digest:
        raise BrokenLinkError("it was changed: its hash is of other words")
    try:
        entry = json.loads(said + b"}")
        seq, previous = entry["seq"], entry["previous"]
    except (ValueError, KeyError, TypeError):
        raise BrokenLinkError("it is not an entry in JSON") from None
    if not isinstance(seq, int) or not isinstance(previous, str):
        raise BrokenLinkError("its number or link is not one")
    return Line(Link(seq, digest, code), previous, entry)


def is_authentic(link: Link, keys: tuple[bytes, ...]) -> bool:
    """Was the line written by one who knew one of `keys`?"""
    return any(hmac.compare_digest(mac(link.hash, key), link.mac) for key in keys)
