"""What proves who calls, and who we are: hashed keys, JWTs, introspected and fetched tokens, certificates."""


class InvalidCredential(Exception):  # noqa: N818 - said of the credential, not of us
    """A credential was shown, and it proves nothing. The text is fit for the caller: it repeats no secret."""
