"""Only known consumers pass."""

import asyncio
import base64
import hashlib

import pytest
from pydantic import ValidationError

from gateway.chain import chain
from gateway.consumers import ConsumerConfig
from gateway.errors import Refused
from gateway.policies.authentication import AuthenticationConfig
from gateway.upstream.control import HttpxControlClient
from tests.support import Upstream, make_exchange, make_services
from tests.tokens.issuer import NOW, Signer, raw_jwt, serve_issuer
from tests.tokens.test_certificates import ALL_NAMES, der

KEY, OLD_KEY, AURORA_KEY = "platform-key-1", "platform-key-0", "aurora-key"
SIGNER, AURORA_SIGNER = Signer(), Signer("RS256", "own")


def services(**more):
    consumers = {
        "platform": [
            {"api_key": KEY},
            {"api_key": OLD_KEY},
            {"basic": {"username": "plat", "password": "pässword:x"}},
            {"jwt": {"subject": "platform"}},
            {"introspection": {"client_id": "platform"}},
        ],
        "aurora": [
            {"api_key": AURORA_KEY},
            {"jwt": {"subject": "aurora"}},
            {"jwt": {"claim": "azp", "value": "aurora", "key": AURORA_SIGNER.pem}},
            {"introspection": {"client_id": "aurora"}},
            {"client_certificate": {"san": "aurora.example"}},
        ],
        "guarded": [{"api_key": "guarded-key"}],
    }
    networks = {"guarded": ["10.0.0.0/8"]}
    more.setdefault(
        "consumers",
        {
            name: ConsumerConfig.model_validate(
                {"credentials": credentials, "networks": networks.get(name, [])}
            ).consumer(name)
            for name, credentials in consumers.items()
        },
    )
    return make_services(**more)


def config(*accept, **fields):
    return AuthenticationConfig.model_validate({"accept": list(accept), **fields})


def basic(text):
    return b"Basic " + base64.b64encode(text.encode())


async def call(policy, headers=(), **more):
    exchange, upstream = make_exchange(headers=list(headers), **more), Upstream()
    upstream_saw = []
    certificate = more.pop("certificate", None)
    exchange.peer_certificate = certificate

    async def forward(exchange):
        upstream_saw.append(list(exchange.headers))
        return await upstream(exchange)

    response = await policy(exchange, forward)
    assert response.status == 200
    assert len(upstream_saw) == 1
    return exchange


async def refused(policy, headers=(), **more):
    upstream = Upstream()
    certificate = more.pop("certificate", None)
    exchange = make_exchange(headers=list(headers), **more)
    exchange.peer_certificate = certificate
    with pytest.raises(Refused) as caught:
        await policy(exchange, upstream)
    assert upstream.calls == 0
    return caught.value


async def test_an_api_key_names_its_consumer_and_stays_here():
    policy = config("api_key").build(services())
    for key, name in ((KEY, "platform"), (OLD_KEY, "platform"), (AURORA_KEY, "aurora")):
        exchange = await call(policy, [(b"accept", b"*/*"), (b"x-api-key", key.encode())])
        assert (exchange.consumer.name, exchange.credential) == (name, "api_key")
        assert exchange.headers == [(b"accept", b"*/*")]


@pytest.mark.parametrize("key", [b"", b"wrong", b"platform-key-", b"platform-key-1 ", b"\xff"])
async def test_a_wrong_api_key(key):
    refusal = await refused(config("api_key").build(services()), [(b"x-api-key", key)])
    assert refusal.code == "UNAUTHENTICATED"
    assert refusal.headers == ((b"www-authenticate", b'ApiKey realm="gateway", header="x-api-key"'),)


async def test_two_api_keys_are_one_too_many():
    headers = [(b"x-api-key", KEY.encode()), (b"x-api-key", KEY.encode())]
    assert (await refused(config("api_key").build(services()), headers)).code == "BAD_REQUEST"
    policy = config({"api_key": {"query": "key"}}).build(services())
    assert (await refused(policy, query=f"key={KEY}&k%65y={KEY}")).code == "BAD_REQUEST"


async def test_an_api_key_in_another_header():
    policy = config({"api_key": {"header": "X-Platform"}}).build(services())
    exchange = await call(policy, [(b"x-platform", KEY.encode()), (b"x-api-key", b"hers")])
    assert exchange.headers == []
    assert (await refused(policy, [(b"x-api-key", KEY.encode())])).code == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (f"key={KEY}", ""),
        (f"a=1&key={KEY}&b=%20", "a=1&b=%20"),
        (f"%6Bey={KEY}&keys=1", "keys=1"),
        ("a=&key=platform%2Dkey-1", "a="),
    ],
)
async def test_an_api_key_in_the_query_leaves_query_and_target(query, left):
    policy = config({"api_key": {"query": "key"}}).build(services())
    exchange = make_exchange(query=query)
    exchange.target = f"/v1/games?{query}"
    await policy(exchange, Upstream())
    assert exchange.query == left
    assert exchange.target == (f"/v1/games?{left}" if left else "/v1/games")
    rewritten = make_exchange(query=query)
    rewritten.target = "/v1/games"
    await policy(rewritten, Upstream())
    assert rewritten.target == "/v1/games"


@pytest.mark.parametrize("query", ["", "a=1", "key", "key=", "key=wrong"])
async def test_no_api_key_in_the_query(query):
    policy = config({"api_key": {"query": "key"}}).build(services())
    refusal = await refused(policy, query=query)
    assert refusal.code == "UNAUTHENTICATED"
    assert refusal.headers == ((b"www-authenticate", b'ApiKey realm="gateway"'),)


async def test_basic():
    policy = config("basic").build(services())
    for scheme in (b"Basic ", b"basic  ", b"BASIC "):
        header = scheme + basic("plat:pässword:x").split()[1]
        exchange = await call(policy, [(b"authorization", header)])
        assert (exchange.consumer.name, exchange.credential) == ("platform", "basic")
        assert exchange.headers == []


@pytest.mark.parametrize(
    "header",
    [
        basic("plat:wrong"),
        basic("other:pässword:x"),
        basic("plat"),
        b"Basic !!",
        b"Basic",
        b"Basic cGxhdA",
        b"Basic \xff=",
    ],
)
async def test_wrong_basic(header):
    refusal = await refused(config("basic").build(services()), [(b"authorization", header)])
    assert refusal.code == "UNAUTHENTICATED"
    assert refusal.headers == ((b"www-authenticate", b'Basic realm="gateway", charset="UTF-8"'),)


async def test_two_authorizations_are_one_too_many():
    headers = [(b"authorization", basic("plat:pässword:x"))] * 2
    assert (await refused(config("basic", "api_key").build(services()), headers)).code == "BAD_REQUEST"


async def test_a_jwt_verified_with_one_key():
    policy = config({"jwt": {"key": SIGNER.pem, "issuer": "https://id.example"}}).build(services())
    token = SIGNER.sign(iss="https://id.example")
    for _ in range(2):
        exchange = await call(policy, [(b"authorization", b"Bearer " + token)])
        assert (exchange.consumer.name, exchange.credential) == ("aurora", "jwt")
        assert exchange.headers == []


async def test_bad_jwts_say_so():
    policy = config({"jwt": {"key": SIGNER.pem, "issuer": "https://id.example"}}).build(services())
    for token in (
        SIGNER.sign(iss="https://evil.example"),
        SIGNER.sign(iss="https://id.example", sub="stranger"),
        SIGNER.sign(iss="https://id.example", exp=NOW - 100),
        Signer().sign(iss="https://id.example"),
        raw_jwt({"alg": "none"}, {"sub": "aurora", "exp": NOW + 9, "iss": "https://id.example"}, b""),
        b"opaque",
        b"",
    ):
        refusal = await refused(policy, [(b"authorization", b"Bearer " + token)])
        assert refusal.code == "UNAUTHENTICATED"
        assert refusal.headers == ((b"www-authenticate", b'Bearer realm="gateway", error="invalid_token"'),)
        assert not token or token.decode() not in refusal.detail
    missing = await refused(policy)
    assert missing.headers == ((b"www-authenticate", b'Bearer realm="gateway"'),)


async def test_a_jwt_verified_with_a_consumers_own_key():
    policy = config("jwt").build(services())
    exchange = await call(policy, [(b"authorization", b"Bearer " + AURORA_SIGNER.sign(azp="aurora"))])
    assert exchange.consumer.name == "aurora"
    for token in (AURORA_SIGNER.sign(azp="else"), AURORA_SIGNER.sign(), SIGNER.sign(azp="aurora")):
        assert (await refused(policy, [(b"authorization", b"Bearer " + token)])).code == "UNAUTHENTICATED"


async def test_a_consumers_own_key_obeys_what_the_policy_asks():
    policy = config({"jwt": {"audience": ["gateway"]}}).build(services())
    await call(policy, [(b"authorization", b"Bearer " + AURORA_SIGNER.sign(azp="aurora", aud="gateway"))])
    for aud in (None, "else"):
        token = AURORA_SIGNER.sign(azp="aurora", aud=aud)
        assert (await refused(policy, [(b"authorization", b"Bearer " + token)])).code == "UNAUTHENTICATED"


async def test_two_issuers_keep_their_subjects_apart():
    """The same subject of two issuers is two consumers; and either issuer's key signs for itself only."""
    one, two = Signer(kid=None), Signer(kid=None)
    consumers = {
        name: ConsumerConfig.model_validate(
            {"credentials": [{"jwt": {"subject": "wallet", "issuer": issuer}}]}
        ).consumer(name)
        for name, issuer in (("aurora", "https://one.example"), ("borealis", "https://two.example"))
    }
    policy = config(
        {"jwt": {"key": one.pem, "issuer": "https://one.example"}},
        {"jwt": {"key": two.pem, "issuer": "https://two.example"}},
    ).build(services(consumers=consumers))
    for signer, issuer, name in ((one, "one", "aurora"), (two, "two", "borealis")):
        for _ in range(2):
            token = signer.sign(sub="wallet", iss=f"https://{issuer}.example")
            exchange = await call(policy, [(b"authorization", b"Bearer " + token)])
            assert exchange.consumer.name == name
    crossed = one.sign(sub="wallet", iss="https://two.example")
    assert (await refused(policy, [(b"authorization", b"Bearer " + crossed)])).code == "UNAUTHENTICATED"


async def test_keys_are_rotated_by_listing_both():
    old, new = Signer(kid=None), Signer(kid=None)
    policy = config({"jwt": {"key": old.pem}}, {"jwt": {"key": new.pem}}).build(services())
    for signer in (old, new):
        await call(policy, [(b"authorization", b"Bearer " + signer.sign())])


async def test_a_client_certificate():
    policy = config("client_certificate").build(services())
    exchange = make_exchange()
    exchange.peer_certificate = der(ALL_NAMES)
    await policy(exchange, Upstream())
    assert (exchange.consumer.name, exchange.credential) == ("aurora", "client_certificate")
    assert (await refused(policy, certificate=b"x")).code == "UNAUTHENTICATED"
    missing = await refused(policy)
    assert missing.headers == ((b"www-authenticate", b'ClientCertificate realm="gateway"'),)


@pytest.fixture
async def issuer():
    async with serve_issuer() as issuer:
        yield issuer


@pytest.fixture
async def control():
    control = HttpxControlClient()
    yield control
    await control.close()


async def test_published_keys(issuer, control):
    issuer.body = {"keys": [SIGNER.jwk()]}
    policy = config({"jwt": {"jwks": issuer.url + "/keys"}}, "api_key").build(services(control=control))
    headers = [(b"authorization", b"Bearer " + SIGNER.sign())]
    exchanges = await asyncio.gather(*(call(policy, headers) for _ in range(50)))
    assert {exchange.consumer.name for exchange in exchanges} == {"aurora"}
    assert {len(exchange.headers) for exchange in exchanges} == {0}
    assert len(issuer.asked) == 1
    stranger = [(b"authorization", b"Bearer " + Signer(kid="forged").sign())]
    assert (await refused(policy, stranger)).code == "UNAUTHENTICATED"
    assert len(issuer.asked) == 1


async def test_published_keys_that_cannot_be_had(control):
    policy = config({"jwt": {"jwks": "http://127.0.0.1:1/keys"}}).build(services(control=control))
    refusal = await refused(policy, [(b"authorization", b"Bearer " + SIGNER.sign())])
    assert refusal.code == "UPSTREAM_UNREACHABLE"


async def test_one_of_two_issuers_is_down(issuer, control):
    """A token that the other issuer's keys verify passes; one that none verifies may be the silent one's."""
    issuer.body = {"keys": [SIGNER.jwk()]}
    jwts = [{"jwt": {"jwks": url + "/keys"}} for url in ("http://127.0.0.1:1", issuer.url)]
    policy = config(*jwts).build(services(control=control))
    await call(policy, [(b"authorization", b"Bearer " + SIGNER.sign())])
    stranger = [(b"authorization", b"Bearer " + Signer().sign())]
    assert (await refused(policy, stranger)).code == "UPSTREAM_UNREACHABLE"


async def test_the_verified_token_survives_a_reload(issuer, control):
    issuer.body = {"keys": [SIGNER.jwk()]}
    kept = services(control=control)
    for _ in range(3):
        kept.state.begin()
        policy = config({"jwt": {"jwks": issuer.url + "/keys"}}).build(kept)
        kept.state.commit()
        await call(policy, [(b"authorization", b"Bearer " + SIGNER.sign())])
    assert len(issuer.asked) == 1


def introspection(url, **more):
    return {
        "introspection": {
            "url": url + "/introspect",
            "client_id": "gateway",
            "client_secret": "s3cret",
            **more,
        }
    }


async def test_introspection(issuer, control):
    issuer.body = {"active": True, "client_id": "aurora"}
    policy = config(introspection(issuer.url)).build(services(control=control))
    for _ in range(3):
        exchange = await call(policy, [(b"authorization", b"bearer opaque")])
        assert (exchange.consumer.name, exchange.credential) == ("aurora", "introspection")
    assert len(issuer.asked) == 1
    issuer.body = {"active": True, "client_id": "stranger"}
    for _ in range(2):
        assert (await refused(policy, [(b"authorization", b"bearer other")])).code == "UNAUTHENTICATED"
    issuer.status = 503
    assert (await refused(policy, [(b"authorization", b"bearer third")])).code == "UPSTREAM_UNREACHABLE"


async def test_the_second_issuer_is_asked_about_what_the_first_knows_nobody_for(issuer, control):
    issuer.body = {"active": True, "client_id": "stranger"}
    both = [introspection(issuer.url), introspection(issuer.url + "/second", ttl="0s")]
    policy = config(*both).build(services(control=control))
    headers = [(b"authorization", b"Bearer opaque")]
    assert (await refused(policy, headers)).code == "UNAUTHENTICATED"
    issuer.body = {"active": True, "client_id": "aurora"}
    assert (await call(policy, headers)).consumer.name == "aurora"
    assert [path for path, _, _ in issuer.asked] == [
        "/introspect",
        "/second/introspect",
        "/second/introspect",
    ]


async def test_jwts_and_opaque_tokens_side_by_side(issuer, control):
    issuer.body = {"active": True, "client_id": "platform"}
    policy = config(
        {"jwt": {"key": SIGNER.pem, "issuer": "https://id.example"}},
        introspection(issuer.url, ttl="0s"),
        introspection(issuer.url + "/second"),
    ).build(services(control=control))
    exchange = await call(policy, [(b"authorization", b"Bearer " + SIGNER.sign(iss="https://id.example"))])
    assert (exchange.consumer.name, exchange.credential) == ("aurora", "jwt")
    assert issuer.asked == []
    # A JWT that claims our issuer and fails is refused: nobody else is asked to overrule the keys.
    forged = Signer().sign(iss="https://id.example")
    assert (await refused(policy, [(b"authorization", b"Bearer " + forged)])).code == "UNAUTHENTICATED"
    assert issuer.asked == []
    for token in (b"opaque", SIGNER.sign(iss="https://other.example")):
        exchange = await call(policy, [(b"authorization", b"Bearer " + token)])
        assert (exchange.consumer.name, exchange.credential) == ("platform", "introspection")
    issuer.body = {"active": False}
    asked = len(issuer.asked)
    for _ in range(2):
        assert (await refused(policy, [(b"authorization", b"Bearer none")])).code == "UNAUTHENTICATED"
    assert len(issuer.asked) == asked + 2  # each endpoint once, then both are remembered


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([(b"x-api-key", KEY.encode()), (b"authorization", basic("plat:pässword:x"))], None),
        (
            [(b"x-api-key", AURORA_KEY.encode()), (b"authorization", basic("plat:pässword:x"))],
            "UNAUTHENTICATED",
        ),
        ([(b"x-api-key", KEY.encode()), (b"authorization", basic("plat:wrong"))], "UNAUTHENTICATED"),
        ([(b"x-api-key", b"wrong"), (b"authorization", basic("plat:pässword:x"))], "UNAUTHENTICATED"),
        ([(b"x-api-key", KEY.encode()), (b"authorization", b"Negotiate abc")], None),
    ],
)
async def test_every_credential_shown_must_be_good_and_of_one_consumer(headers, code):
    policy = config("api_key", "basic").build(services())
    if code is None:
        exchange = await call(policy, headers)
        assert exchange.consumer.name == "platform"
        assert exchange.headers == []  # what we could not judge does not travel either
    else:
        assert (await refused(policy, headers)).code == code


async def test_every_scheme_is_challenged():
    everything = config("api_key", {"api_key": {"query": "k"}}, "basic", "jwt", "client_certificate")
    challenges = [value.split()[0] for _, value in (await refused(everything.build(services()))).headers]
    assert challenges == [b"Bearer", b"ApiKey", b"ApiKey", b"Basic", b"ClientCertificate"]


async def test_only_listed_consumers_pass():
    policy = config("api_key", consumers=["platform"]).build(services())
    await call(policy, [(b"x-api-key", KEY.encode())])
    assert (await refused(policy, [(b"x-api-key", AURORA_KEY.encode())])).code == "FORBIDDEN"


async def test_a_consumers_networks_hold():
    policy = config("api_key").build(services())
    headers = [(b"x-api-key", b"guarded-key")]
    await call(policy, headers, client="10.1.2.3")
    assert (await refused(policy, headers, client="11.1.2.3")).code == "IP_NOT_ALLOWED"


async def test_credentials_travel_on_where_asked():
    policy = config("api_key", {"api_key": {"query": "key"}}, forward_credentials=True).build(services())
    headers = [(b"x-api-key", KEY.encode())]
    exchange = await call(policy, headers, query=f"key={KEY}")
    assert exchange.headers == headers
    assert exchange.query == f"key={KEY}"


async def test_credentials_travel_on_after_asking(issuer, control):
    issuer.body = {"active": True, "client_id": "aurora"}
    policy = config(introspection(issuer.url), forward_credentials=True).build(services(control=control))
    headers = [(b"authorization", b"Bearer opaque")]
    assert (await call(policy, headers)).headers == headers


async def test_refusals_are_told_and_counted():
    built = services()
    policy = config("api_key").build(built)
    exchange = make_exchange(headers=[(b"x-api-key", b"wrong")])
    with pytest.raises(Refused):
        await policy(exchange, Upstream())
    assert exchange.decisions == [("authentication", "refused", "UNAUTHENTICATED")]
    counter = built.metrics.counter("gateway_authentication_refused_total", "", ())
    assert counter.values == {("route", "UNAUTHENTICATED", "enforce"): 1}


async def test_in_shadow_it_finds_out_and_changes_nothing():
    shadow = config("api_key", mode="shadow")
    link = chain([(shadow, shadow.build(services()))], Upstream())
    for key, name, decisions in (
        (KEY, "platform", []),
        ("wrong", None, [("authentication", "would_refuse", "UNAUTHENTICATED")]),
    ):
        headers = [(b"x-api-key", key.encode())]
        exchange = make_exchange(headers=headers)
        await link(exchange)
        assert (exchange.consumer.name if exchange.consumer else None) == name
        assert exchange.headers == headers
        assert exchange.decisions == decisions


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        ([], "accepts nothing"),
        (["signature"], "arrive with dialects"),
        ([{"signature": {}}], "arrive with dialects"),
        (["introspection"], "needs an endpoint"),
        (["password"], "is not known here: there are api_key, basic"),
        ([7], "valid dictionary"),
        ([{"api_key": {}, "basic": {}}], "exactly one of"),
        ([{"api_key": {"header": "a", "query": "b"}}], "list api_key twice"),
        ([{"api_key": {"query": ""}}], "may not be empty"),
        ([{"api_key": {"header": "a b"}}], "is not a header name"),
        ([{"api_key": {"header": "Authorization"}}, "basic"], "leaves no room"),
        (
            [{"introspection": {"url": "http://x", "client_id": "a", "client_secret": ""}}],
            "the secret is empty",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(accept, message):
    with pytest.raises(ValidationError, match=message):
        config(*accept)


@pytest.mark.parametrize(
    ("accept", "fields", "message"),
    [
        (["api_key"], {"consumers": ["nobody"]}, "neither a consumer nor a provider"),
        (
            ["basic"],
            {"consumers": ["aurora"]},
            "refuse everybody, since it accepts basic: give aurora such",
        ),
        ([{"jwt": {"key": "short"}}], {}, "at least 32 bytes"),
    ],
)
def test_what_cannot_work_is_told_at_load(accept, fields, message):
    with pytest.raises(ValueError, match=message):
        config(*accept, **fields).build(services())


def test_everybody_or_nobody_at_load():
    with pytest.raises(ValueError, match="give a consumer such a credential"):
        config("api_key").build(services(consumers={}))
    one = ConsumerConfig.model_validate({"credentials": [{"jwt": {"subject": "a"}}]}).consumer("one")
    with pytest.raises(ValueError, match="nothing to verify with"):
        config("jwt").build(services(consumers={"one": one}))


def test_a_secret_of_two_consumers_is_told_at_load():
    shared = ConsumerConfig.model_validate({"credentials": [{"api_key": KEY}]})
    consumers = {name: shared.consumer(name) for name in ("one", "two")}
    with pytest.raises(ValueError, match="one and two have the same secret") as caught:
        config("api_key").build(services(consumers=consumers))
    assert KEY not in str(caught.value)


def test_a_bare_name_with_nothing_behind_it():
    assert config({"api_key": None}) == config("api_key")


@pytest.mark.parametrize(
    ("accept", "fields", "sentence"),
    [
        (["api_key"], {"consumers": ["platform"]}, "lets in platform by an API key in x-api-key"),
        (
            [{"api_key": {"query": "k"}}, "basic", "client_certificate"],
            {"consumers": ["platform", "aurora"]},
            "lets in platform or aurora by an API key in the query's k, HTTP Basic or a client certificate",
        ),
        (
            ["jwt", {"jwt": {"jwks": "https://id.example/k", "issuer": "https://id.example"}}],
            {"forward_credentials": True},
            "lets in any known consumer by a JWT or a JWT from https://id.example, and forwards it",
        ),
        (
            [introspection("https://id.example")],
            {},
            "lets in any known consumer by a token that id.example calls active",
        ),
    ],
)
def test_it_says_what_it_does(accept, fields, sentence):
    assert config(*accept, **fields).describe() == sentence


async def test_explain_foresees_it_and_asks_nobody():
    everything = config(
        "api_key",
        {"jwt": {"jwks": "https://id.example/keys"}},
        introspection("https://intro.example"),
        consumers=["platform"],
    )

    async def foresee(*headers):
        exchange = make_exchange(headers=list(headers))
        return await everything.foresee(exchange, services())

    assert await foresee((b"x-api-key", KEY.encode())) == "knows platform by api_key"
    asking = "would ask id.example or intro.example about the token"
    assert await foresee((b"authorization", b"Bearer " + SIGNER.sign())) == asking
    assert await foresee((b"authorization", b"Bearer opaque")) == asking
    for headers, code in (
        ([(b"x-api-key", b"wrong")], "UNAUTHENTICATED"),
        ([], "UNAUTHENTICATED"),
        ([(b"x-api-key", AURORA_KEY.encode())], "FORBIDDEN"),
    ):
        with pytest.raises(Refused, match=code):
            await foresee(*headers)


@pytest.mark.interpreted
async def test_nothing_shown_tells_a_secret():
    secrets = (KEY, "pässword:x", "s3cret", hashlib.sha256(KEY.encode()).hexdigest())
    everything = config("api_key", "basic", introspection("https://id.example"))
    built = services()
    policy = everything.build(built)
    refusal = await refused(
        policy, [(b"x-api-key", KEY.encode()), (b"authorization", basic("plat:pässword:y"))]
    )
    shown = [
        repr(everything),
        everything.describe(),
        everything.model_dump_json(),
        repr(policy),
        repr(vars(policy)),
        str(refusal),
        str(refusal.headers),
        str(built.metrics.snapshot()),
    ]
    for text in shown:
        assert not any(secret in text for secret in secrets)
