"""The kinds of values that settings have: how each is checked, and its name in the documentation."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from router import cluster_url, sentinel_url
from router.environment import check_password, check_secret
from router.sid import is_sid
from router.url import is_http_url

# Rate limits do not apply to valid credentials (router/web/auth.py), so these must not be guessable.
_PASSWORD_LEAST: Final = 10
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix", *sentinel_url.SCHEMES, *cluster_url.SCHEMES)


class Kind(str):
    """The type of a setting, in the words of the documentation."""

    __slots__ = ()


def sid_of(prefix: str) -> AfterValidator:
    """Return a check that a value is a SID of a kind."""

    def check(value: str) -> str:
        if not is_sid(value, prefix):  # without the value, which may be a token in the wrong line
            raise ValueError(f"not a SID of this kind, which is {prefix} and 32 hexadecimal digits")
        return value

    return AfterValidator(check)


def base_url_of(value: str) -> str:
    """Return the base URL as written; raise ValueError with the reason if it is not a base URL."""
    if not is_http_url(value):
        raise ValueError("is not an absolute http or https URL, as https://example.com")
    if "?" in value or "#" in value:
        raise ValueError("has a query or a fragment; a base URL ends with its host or its path")
    return value.rstrip("/")


def store_url(value: str) -> str:
    """Return the URL of a store as written; raise ValueError with the reason if it is not one."""
    scheme, found, rest = value.partition("://")
    if not found or not rest or scheme not in _REDIS_SCHEMES:
        raise ValueError("does not begin with one of " + ", ".join(f"{scheme}://" for scheme in _REDIS_SCHEMES))
    if scheme in sentinel_url.SCHEMES:
        sentinel_url.SentinelUrl.parse(value)
        return value
    if scheme in cluster_url.SCHEMES:
        cluster_url.ClusterUrl.parse(value)
        return value
    try:
        urlsplit(value).port  # noqa: B018 - raises for an invalid port
    except ValueError:
        raise ValueError("has an invalid port, or a password that is not percent-encoded") from None
    return value


def host_and_port(value: str) -> str:
    """Return an address to listen on as written; raise ValueError if it is not HOST:PORT."""
    host, colon, port = value.rpartition(":")
    bare = not (":" in host and not (host.startswith("[") and host.endswith("]")))
    if not colon or not bare or not (port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise ValueError(f"is not HOST:PORT, as 127.0.0.1:8000 or [::1]:8000: {value!r}")
    return value


def at_least(least: int, advice: str) -> AfterValidator:
    """Return a check that a secret has a number of characters."""

    def check(value: str) -> str:
        if len(value) < least:  # the error shows neither the value nor its length
            raise ValueError(f"has fewer than {least} characters, so it can be guessed: {advice}")
        return value

    return AfterValidator(check)


def _switch(value: object) -> object:
    found = value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
    if found is None:
        raise ValueError("is neither true nor false")
    return found


Secret = Annotated[str, AfterValidator(check_secret)]
Password = Annotated[
    str, AfterValidator(check_password), at_least(_PASSWORD_LEAST, "take several words, with blanks if you like")
]
Switch = Annotated[bool, BeforeValidator(_switch)]
AccountSid = Annotated[str, sid_of("AC")]
BaseUrl = Annotated[str, AfterValidator(base_url_of)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(lambda value: ip_network(str(value)))]
Duration = Annotated[float, Field(ge=0, le=10**8, allow_inf_nan=False)]  # 10**8: about three years in seconds


class Table(BaseModel):
    """A group of settings: an unknown name is an error, and values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            # pydantic would read true as 1
            raise ValueError("is true or false, but this setting is not a switch")
        return value
