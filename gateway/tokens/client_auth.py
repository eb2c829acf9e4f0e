"""How we prove ourselves to an OAuth2 endpoint (RFC 6749 §2.3.1)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote_plus

from gateway.units import Secret


def client_auth(
    method: Literal["basic", "body"], client_id: str, client_secret: Secret
) -> tuple[dict[str, str], tuple[str, str] | None]:
    """(form fields, HTTP Basic pair). For Basic, id and secret are form-encoded first, as the RFC has it."""
    secret = client_secret.get_secret_value()
    if method == "body":
        return {"client_id": client_id, "client_secret": secret}, None
    return {}, (quote_plus(client_id), quote_plus(secret))
