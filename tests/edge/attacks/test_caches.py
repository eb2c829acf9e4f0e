"""What one caller plants in the cache, no other may get; what is one caller's, no other may get either."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.edge.attacks.raw import Told, get, request, told
from tests.scenarios.running import Gateway, gateway
from tests.scenarios.scripted import Request, ScriptedOrigin, answer

CONFIG = """
    version: 1
    consumers:
      red: {{credentials: [{{api_key: key-of-red}}]}}
      blue: {{credentials: [{{api_key: key-of-blue}}]}}
    upstreams:
      origin: {{targets: [{{url: "{url}"}}], host: preserve}}
    routes:
      - {{name: open, match: {{methods: [GET, POST], path: "/open/*"}}, upstream: origin,
         policies: [{{cache: {{ttl: 1m, max_bytes: 4MiB}}}}]}}
      - {{name: lists, match: {{methods: [POST], path: "/lists/*"}}, upstream: origin,
         policies: [{{cache: {{ttl: 1m, methods: [GET, POST]}}}}]}}
      - {{name: own, match: {{methods: [GET], path: "/own/*"}}, upstream: origin,
         policies: [{{authentication: {{accept: [api_key], consumers: [red, blue]}}}},
                    {{cache: {{ttl: 1m, key: {{consumer: true}}}}}}]}}
      - {{name: shared, match: {{methods: [GET], path: "/shared/*"}}, upstream: origin,
         policies: [{{authentication: {{accept: [api_key], consumers: [red, blue]}}}},
                    {{cache: {{ttl: 1m}}}}]}}
"""
SAYS: dict[str, tuple[int, list[str]]] = {
    "vary": (200, ["vary: accept-language"]),
    "vary-all": (200, ["vary: *"]),
    "vary-all-among-others": (200, ["vary: accept, *"]),
    "set-cookie": (200, ["set-cookie: session=evil"]),
    "private": (200, ["cache-control: private, max-age=60"]),
    "private-in-capitals": (200, ["cache-control: PRIVATE, max-age=60"]),
    "private-field": (200, ['cache-control: private="set-cookie", max-age=60']),
    "no-store": (200, ["cache-control: no-store"]),
    "no-store-on-a-second-line": (200, ["cache-control: max-age=60", "cache-control: no-store"]),
    "no-store-behind-a-quote": (200, ['cache-control: x="a, b", no-store, max-age=60']),
    "no-cache": (200, ["cache-control: no-cache"]),
    "age-over-its-life": (200, ["cache-control: max-age=60", "age: 61"]),
    "expired": (200, ["expires: Thu, 01 Jan 1970 00:00:00 GMT"]),
    "expires-never-said": (200, ["expires: evil"]),
    "max-age-of-letters": (200, ["cache-control: max-age=evil"]),
    "partial": (206, ["content-range: bytes 0-1/9", "cache-control: max-age=60"]),
    "bad-request": (400, ["cache-control: max-age=60"]),
    "forbidden": (403, ["cache-control: max-age=60"]),
    "moved-for-now": (302, ["location: http://evil.example/"]),
    "not-found": (404, []),
    "too-large": (413, ["cache-control: max-age=60"]),
    "teapot": (418, ["cache-control: max-age=60"]),
    "broken": (500, ["cache-control: max-age=60"]),
}
"""First segment of the path → how the origin answers; 200 and nothing special for any other."""


@pytest.fixture(scope="module")
def edge() -> Iterator[Gateway]:
    numbers = count()

    def script(asked: Request) -> bytes:
        """Everything the origin saw is in its answer, and a number that no other answer has."""
        status, fields = SAYS.get(asked.line.split()[1].split("/")[2], (200, []))
        if asked.headers.get("if-none-match") == '"evil"':
            status = 304
        saw = {"number": next(numbers), "line": asked.line, "headers": asked.headers}
        return answer(status, json.dumps(saw | {"body": asked.body.decode()}).encode(), *fields)

    with ScriptedOrigin(script) as origin, gateway(CONFIG.format(url=origin.url)) as running:
        yield running


@pytest.fixture
def path(request: pytest.FixtureRequest) -> bytes:
    """A path that no other test asks for."""
    return b"/open/plain/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-").encode()


def number(said: Told) -> int:
    """Which of its answers the origin gave."""
    found: int = json.loads(said.body)["number"]
    return found


pytestmark = pytest.mark.attack(25)


def test_without_any_attack_answers_are_kept(edge: Gateway, path: bytes) -> None:
    """Or all of the following would show nothing."""
    first, second = (told(edge.port, get(path)) for _ in range(2))
    assert number(first) == number(second)
    assert "hit" in second.fields["cache-status"]


# Poison: what the first caller sends, the second must not see.

UNKEYED = [
    b"X-Forwarded-Host: evil",
    b"X-Forwarded-Scheme: evil",
    b"X-Forwarded-Proto: evil",
    b"X-Forwarded-Port: evil",
    b"X-Forwarded-Prefix: /evil",
    b"X-Forwarded-For: evil",
    b"X-Forwarded-Server: evil",
    b"Forwarded: host=evil;proto=evil",
    b"X-Host: evil",
    b"X-Original-Host: evil",
    b"X-Original-URL: /evil",
    b"X-Rewrite-URL: /evil",
    b"X-HTTP-Method-Override: EVIL",
    b"X-HTTP-Method: EVIL",
    b"X-Real-IP: evil",
    b"True-Client-IP: evil",
    b"X_Forwarded_Host: evil",
    b"User-Agent: evil",
    b"Referer: http://evil/",
    b"Origin: http://evil",
    b"Accept: evil",
    b"Accept-Encoding: evil",
    b"Accept-Language: evil",
    b"Cookie: session=evil",
    b"X-Request-Id: evil",
    b"Traceparent: 00-e0000000000000000000000000000e11-e000000000000e11-01",
    b"Tracestate: evil=evil",
    b"Baggage: evil=evil",
    b"X-Anything-At-All: evil",
    b"Content-Type: evil/evil",
    b"Transformation: evil",
    b"Max-Forwards: 0\r\nX-A: evil",
    b"TE: trailers, evil",
    b"Connection: close, X-A\r\nX-A: evil",
    b'If-None-Match: "evil"',
    b"If-Modified-Since: evil",
    b"If-Match: evil",
    b"Range: bytes=0-1\r\nX-A: evil",
    b"Pragma: evil",
    b"Cache-Control: evil",
    b"Authorization: Bearer evil",
    b"X-Api-Key: evil",
    b"Expect: 100-continue\r\nX-A: evil",
]


@pytest.mark.parametrize("fields", UNKEYED, ids=[f.partition(b":")[0].decode() for f in UNKEYED])
def test_a_field_of_one_caller_is_not_in_the_answer_of_another(
    fields: bytes, edge: Gateway, path: bytes
) -> None:
    assert told(edge.port, get(path, fields)).status in (200, 304, 401, 412)
    victim = told(edge.port, get(path))
    assert victim.status == 200
    assert b"evil" not in victim.body.lower().replace(path, b"")


POISONS: dict[str, Callable[[bytes], bytes]] = {
    "a body by GET": lambda path: request(b"GET", path, body=b"evil"),
    "chunks by GET": lambda path: request(
        b"GET", path, b"Transfer-Encoding: chunked", body=b"4\r\nevil\r\n0\r\n\r\n"
    ),
    "a form by GET": lambda path: request(
        b"GET", path, b"Content-Type: application/x-www-form-urlencoded", body=b"a=evil"
    ),
    "a POST": lambda path: request(b"POST", path, body=b"evil"),
    "a POST that says it is GET": lambda path: request(
        b"POST", path, b"X-HTTP-Method-Override: GET", body=b"evil"
    ),
    "another host": lambda path: get(path, host=b"evil"),
    "another port": lambda path: get(path, b"X-A: evil", host=b"gateway:666"),
    "a target with a host": lambda path: get(b"http://evil" + path, host=b"evil"),
    "a query": lambda path: get(path + b"?a=evil"),
    "a query that hides behind a semicolon": lambda path: get(path + b"?;a=evil"),
    "a query of an encoded delimiter": lambda path: get(path + b"?a=1%26b=evil"),
    "a path below": lambda path: get(path + b"/evil"),
    "HEAD": lambda path: request(b"HEAD", path, b"X-A: evil"),
}


@pytest.mark.parametrize("name", POISONS)
def test_what_one_caller_asks_for_is_not_what_another_gets(name: str, edge: Gateway, path: bytes) -> None:
    told(edge.port, POISONS[name](path))
    victim = told(edge.port, get(path))
    assert (victim.status, victim.fields["content-type"]) == (200, "application/json")
    assert b"evil" not in victim.body.lower()


# Keys: calls that differ in any way that reaches the origin are not the same.

APART = {
    "two values or one": ((b"X-A: 1, 2",), (b"X-A: 1", b"X-A: 2")),
    "one field or two": ((b"X-A: 1X-B: 2",), (b"X-A: 1", b"X-B: 2")),
    "delimiters in a value": ((b"X-A: 1', b'x-b', b'2",), (b"X-A: 1", b"X-B: 2")),
    "order of values": ((b"X-A: 1", b"X-A: 2"), (b"X-A: 2", b"X-A: 1")),
    "name or value": ((b"X-A: B: c",), (b"X-A-B: c",)),
    "empty or none": ((b"X-A:",), ()),
    "languages": ((b"Accept-Language: en",), (b"Accept-Language: de",)),
}


@pytest.mark.parametrize("name", APART)
def test_fields_that_differ_are_kept_apart(name: str, edge: Gateway, path: bytes) -> None:
    one, other = APART[name]
    assert number(told(edge.port, get(path, *one))) != number(told(edge.port, get(path, *other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"?a=1&b=2", b"?a=1%26b=2"),
        (b"?a=1&b=2", b"?a=1;b=2"),
        (b"?a=1", b"?a=1&"),
        (b"?a=%31", b"?a=1"),
        (b"?a=1&a=2", b"?a=2&a=1"),
        (b"?A=1", b"?a=1"),
        (b"/a?b", b"/a%3Fb"),
        (b"/a", b"/A"),
        (b"/a", b"/a/"),
        (b"/a?utm_content=1", b"/a"),
    ],
)
def test_targets_that_differ_are_kept_apart(one: bytes, other: bytes, edge: Gateway, path: bytes) -> None:
    assert number(told(edge.port, get(path + one))) != number(told(edge.port, get(path + other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"a=1", b"a=2"), (b"a", b"a\0"), (b"", b"a"), (b"a" * 65536, b"a" * 65535 + b"b")],
    ids=["values", "a NUL", "nothing", "the last of 64 KiB"],
)
def test_bodies_that_differ_are_kept_apart(one: bytes, other: bytes, edge: Gateway, path: bytes) -> None:
    path = path.replace(b"/open/", b"/lists/")
    first, second = (told(edge.port, request(b"POST", path, body=body)) for body in (one, other))
    assert number(first) != number(second)


def test_one_canonical_path_is_one_key(edge: Gateway, path: bytes) -> None:
    """Else the same resource were kept under many names, and a purge would miss some."""
    spellings = (path + b"/a", path + b"/%61", path + b"/b/../a", path + b"/./a")
    assert len({number(told(edge.port, get(spelling))) for spelling in spellings}) == 1


# Private answers.

NOT_KEPT = [name for name in SAYS if name != "vary"]


@pytest.mark.parametrize("says", NOT_KEPT)
def test_an_answer_that_is_not_for_all_is_given_once(says: str, edge: Gateway) -> None:
    target = f"/open/{says}/a".encode()
    first, second = (told(edge.port, get(target)) for _ in range(2))
    assert first.status == second.status == SAYS[says][0]
    assert number(first) != number(second)


def test_vary_is_honoured(edge: Gateway) -> None:
    ask = [get(b"/open/vary/a", b"Accept-Language: " + language) for language in (b"en", b"de", b"en")]
    english, german, again = (number(told(edge.port, sent)) for sent in ask)
    assert english != german
    assert english == again


def test_an_answer_to_authorization_is_nobody_elses(edge: Gateway, path: bytes) -> None:
    asked = [get(path, b"Authorization: Bearer a"), get(path, b"Authorization: Bearer b"), get(path)]
    assert len({number(told(edge.port, sent)) for sent in asked}) == 3


def test_consumers_are_kept_apart_where_the_key_says_so(edge: Gateway) -> None:
    red, blue = b"X-Api-Key: key-of-red", b"X-Api-Key: key-of-blue"
    first, second, third = (number(told(edge.port, get(b"/own/a/b", key))) for key in (red, blue, red))
    assert first != second
    assert first == third
    assert told(edge.port, get(b"/own/a/b")).status == 401, "what is kept is not for those who prove nothing"


def test_a_shared_answer_holds_no_credential(edge: Gateway) -> None:
    red, blue = b"X-Api-Key: key-of-red", b"X-Api-Key: key-of-blue"
    first, second = (told(edge.port, get(b"/shared/a/b", key)) for key in (red, blue))
    assert number(first) == number(second)
    assert b"key-of-red" not in second.body
    assert told(edge.port, get(b"/shared/a/b", b"X-Api-Key: evil")).status == 401


def test_a_flood_of_keys_stays_within_its_memory(edge: Gateway, path: bytes) -> None:
    """A thousand answers of 8 KB would be 8 MB; the route may have 4 MiB."""
    padding = b"X-Padding: " + b"a" * 8000
    for key in range(1000):
        told(edge.port, get(path + b"?%d" % key, padding))
    assert edge.metric("gateway_cache_bytes") <= 5 * (1 << 20)
