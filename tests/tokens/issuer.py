"""A real HTTP server that issues: it publishes keys, tells about tokens, and hands tokens out."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

NOW = 1_700_000_000
"""Where `FakeClock` begins."""


class Issuer:
    """Answers that tests set, and what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str], str]] = []
        """(path, form, Authorization) of every request."""
        self.status = 200
        self.body: dict[str, Any] | bytes = {}
        self.hold: asyncio.Event | None = None
        """Answers wait for it."""

    async def __call__(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.asked.append((request.url.path, form, request.headers.get("authorization", "")))
        if self.hold is not None:
            await self.hold.wait()
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Response(body, self.status, media_type="application/json")


@asynccontextmanager
async def serve_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = Starlette(routes=[Route("/{path:path}", issuer_endpoint(issuer), methods=["GET", "POST"])])
    server = uvicorn.Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off", backlog=2048
        )
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    issuer.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield issuer
    finally:
        server.should_exit = True
        await task


def issuer_endpoint(issuer: Issuer) -> Any:
    async def endpoint(request: Request) -> Response:
        return await issuer(request)

    return endpoint


class Signer:
    """A private key: signs tokens, publishes its public half."""

    def __init__(self, algorithm: str = "ES256", kid: str | None = "k1") -> None:
        self.algorithm, self.kid = algorithm, kid
        if algorithm[:2] in ("RS", "PS"):
            self.private: Any = rsa.generate_private_key(65537, 2048)
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = ec.generate_private_key(
                {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}[algorithm]()
            )

    @property
    def pem(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        text: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return text.decode()

    def jwk(self, **more: Any) -> dict[str, Any]:
        jwk: dict[str, Any] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(
            self.private.public_key(), as_dict=True
        )
        return {**jwk, **({"kid": self.kid} if self.kid else {}), "use": "sig", **more}

    def sign(self, **claims: Any) -> bytes:
        headers = {"kid": self.kid} if self.kid else {}
        payload = {"sub": "aurora", "exp": NOW + 600, **claims}
        content = json.dumps({name: value for name, value in payload.items() if value is not None}).encode()
        return jwt.PyJWS().encode(content, self.private, self.algorithm, headers).encode()


def raw_jwt(header: object, claims: object, signature: bytes = b"x") -> bytes:
    """A token of any content."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
