from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.consumers import Consumer
from gateway.exchange import Response
from gateway.policies.headers import HeadersConfig
from tests.support import Upstream, make_exchange, make_services


def config(**edits) -> HeadersConfig:
    return HeadersConfig.model_validate(edits)


async def run(edits, headers=(), answer=(), **more):
    exchange = make_exchange(headers=list(headers), **more)
    upstream = Upstream(Response(200, list(answer)))
    response = await config(**edits).build(make_services())(exchange, upstream)
    return exchange, response


async def test_requests_are_edited_in_order():
    edits = {
        "request": {
            "remove": ["X-Secret"],
            "rename": {"x-player": "X-User"},
            "set": {"x-operator": "op-1", "accept": "application/json"},
            "add": {"x-tag": "b"},
        }
    }
    before = [
        (b"x-secret", b"1"),
        (b"x-player", b"p"),
        (b"x-user", b"forged"),
        (b"accept", b"*/*"),
        (b"x-tag", b"a"),
    ]
    exchange, response = await run(edits, before)
    assert exchange.headers == [
        (b"x-user", b"p"),
        (b"x-tag", b"a"),
        (b"x-operator", b"op-1"),
        (b"accept", b"application/json"),
        (b"x-tag", b"b"),
    ]
    assert response.headers == []


async def test_without_its_old_name_the_new_one_stays():
    exchange, _ = await run({"request": {"rename": {"x-player": "x-user"}}}, [(b"x-user", b"u")])
    assert exchange.headers == [(b"x-user", b"u")]


async def test_answers_are_edited_too():
    _, response = await run(
        {"response": {"set": {"x-by": "gw"}, "remove": ["server"]}}, answer=[(b"server", b"a")]
    )
    assert response.headers == [(b"x-by", b"gw")]


async def test_values_name_the_call():
    text = "{{{route}}} {consumer}|{client}|{trace_id}."
    services = make_services()
    policy = config(request={"set": {"x-call": text, "x-route": "{route}", "x-empty": ""}}).build(services)
    exchange = make_exchange(client="192.0.2.7")
    exchange.trace_id, exchange.route, exchange.consumer = (
        "ab" * 16,
        SimpleNamespace(name="games"),
        Consumer("platform"),
    )
    await policy(exchange, Upstream())
    assert exchange.header(b"x-call") == b"{games} platform|192.0.2.7|" + b"ab" * 16 + b"."
    assert exchange.header(b"x-route") == b"games"
    assert exchange.header(b"x-empty") == b""
    exchange = make_exchange()
    await policy(exchange, Upstream())
    assert exchange.header(b"x-call") == b"{} |127.0.0.1|."


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"set": {"x y": "1"}}, "not a header name"),
        ({"set": {"Content-Length": "1"}}, "frames or addresses"),
        ({"remove": ["Host"]}, "frames or addresses"),
        ({"add": {"connection": "x"}}, "belongs to one connection"),
        ({"rename": {"x-a": "transfer-encoding"}}, "belongs to one connection"),
        ({"set": {"X-Forwarded-For": "1.2.3.4"}}, "written by the gateway itself"),
        ({"set": {"traceparent": "1"}}, "written by the gateway itself"),
        ({"set": {"x-a": "a\r\nx-b: c"}}, "no line breaks"),
        ({"set": {"x-a": "\x7f"}}, "no line breaks"),
        ({"set": {"x-a": "€"}}, "Latin-1"),
        ({"set": {"x-a": "{secret}"}}, "is not known"),
        ({"set": {"x-a": "a}b"}}, "is not known"),
        ({"set": {"x-a": "1"}, "remove": ["x-a"]}, "say one of the two"),
        ({"add": {"x-a": "1"}, "remove": ["x-a"]}, "say one of the two"),
        ({"rename": {"x-a": "x-b"}, "remove": ["x-a"]}, "say one of the two"),
    ],
)
def test_what_must_not_be_edited_is_refused(edits, message):
    with pytest.raises(ValidationError, match=message):
        config(request=edits)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({}, "edits nothing"),
        ({"request": {"set": {}}, "response": {"remove": []}}, "edits nothing"),
        ({"response": {"remove": ["x-a", "Date"]}}, "every answer has a Date"),
    ],
)
def test_what_would_have_no_effect_is_refused(edits, message):
    with pytest.raises(ValidationError, match=message):
        config(**edits)


@given(st.text())
def test_no_value_from_yaml_breaks_a_line(text):
    try:
        edits = config(request={"set": {"x-a": text}}).request
    except ValidationError:
        return
    assert not {"\r", "\n", "\0"} & set(edits.set["x-a"])


async def test_shadow_says_what_it_would_edit():
    edits = {"request": {"set": {"x-a": "1"}}, "response": {"set": {"x-b": "1"}}, "mode": "shadow"}
    exchange, response = await run(edits)
    assert exchange.headers == []
    assert response.headers == []
    assert exchange.decisions == [("headers", "would_edit", "request"), ("headers", "would_edit", "response")]
    exchange, _ = await run(edits, [(b"x-a", b"1")], [(b"x-b", b"1")])
    assert exchange.decisions == []
    for side in ("request", "response"):
        exchange, _ = await run({side: {"remove": ["x-c"]}, "mode": "shadow"})
        assert exchange.decisions == []


async def test_it_says_itself_by_names_alone():
    edits = config(
        request={"set": {"x-key": "s3cret"}, "remove": ["x-a"]},
        response={"rename": {"x-b": "x-c"}, "add": {"x-d": "1"}},
    )
    assert edits.describe() == (
        "removes x-a on the request, sets x-key on the request, renames x-b to x-c on the answer,"
        " adds x-d on the answer"
    )
    exchange = make_exchange()
    assert "sets x-key" in await edits.foresee(exchange, make_services())
    assert exchange.header(b"x-key") == b"s3cret"
    exchange = make_exchange()
    await edits.model_copy(update={"mode": "shadow"}).foresee(exchange, make_services())
    assert exchange.headers == []


def test_values_may_be_secret_so_no_repr_shows_them():
    told = config(request={"set": {"authorization": "Bearer s3cret"}, "add": {"x-tag": "s3cret"}})
    assert "s3cret" not in repr(told) + str(told) + told.describe()
    assert told.request.set == {"authorization": "Bearer s3cret"}
