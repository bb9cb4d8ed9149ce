"""The accounts in the settings, with their keys."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from router.environment import listed
from router.settings.value import AccountSid, Kind, Secret, Table, at_least, sid_of

# Characters of a generated key; Twilio's have 32. Rate limits do not apply to valid credentials (router/web/auth.py),
# so these must not be guessable.
_KEY_LEAST: Final = 16


class SharedKey(Table):
    """A key that Twilio signs with instead of the auth token. Its algorithm is a setting, never read from a request."""

    id: Annotated[str, Kind("text"), Field(min_length=1)] = Field(description="Twilio's id, `webhooks_sharedkey_…`")
    algorithm: Annotated[Literal["HMAC_SHA1", "HMAC_SHA256"], Kind("`HMAC_SHA256` or `HMAC_SHA1`")] = Field(
        description="The algorithm that the key signs with"
    )
    secret: Annotated[Secret, Kind("secret")] = Field(
        repr=False, description="The secret, which Twilio shows only when the key is created"
    )


class ApiKey(Table):
    """A key with which a program may use the REST resources of the account."""

    sid: Annotated[str, sid_of("SK"), Kind("SK…")] = Field(description="The key's SID")
    secret: Annotated[
        Secret, at_least(_KEY_LEAST, "take the key's as Twilio shows it, or `openssl rand -hex 16`"), Kind("secret")
    ] = Field(repr=False, description="The key's secret, of 16 characters at least")


class Account(Table):
    """A Twilio account whose messages the router accepts."""

    sid: Annotated[AccountSid, Kind("AC…")] = Field(description="The account's SID")
    auth_tokens: Annotated[tuple[Secret, ...], BeforeValidator(listed), Kind("list of secrets")] = Field(
        repr=False,
        min_length=1,
        description="Auth tokens in order of preference: the router signs requests with the first",
    )
    shared_keys: Annotated[tuple[SharedKey, ...], Kind("tables")] = Field(
        default=(), description="Keys that Twilio signs with instead of the auth token"
    )
    api_keys: Annotated[tuple[ApiKey, ...], Kind("tables")] = Field(
        default=(), description="Keys with which programs may use the REST resources"
    )
    proxy_service_sid: Annotated[Annotated[str, sid_of("KS")] | None, Kind("KS…")] = Field(
        default=None, description="The Proxy service of the flows that do not set Integration.ProxyServiceSid"
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """All of the account's secrets, which no log may show."""
        shared, api = (key.secret for key in self.shared_keys), (key.secret for key in self.api_keys)
        return (*self.auth_tokens, *shared, *api)
