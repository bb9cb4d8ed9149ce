"""Reading `redis+sentinel://` URLs."""

import pytest
from redis import ConnectionPool, SSLConnection

from router.sentinel_url import SentinelUrl

# The options that redis-py reads from a URL; all others are its own defaults.
GIVEN = {"host", "port", "db", "username", "password", "ssl_ca_certs", "socket_keepalive"}


def _read(url: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return redis-py's options for the store's URL and for a Sentinel's."""
    parsed = SentinelUrl.parse(url)
    pools = [ConnectionPool.from_url(each) for each in (parsed.of_store("10.0.0.9", 6379), parsed.of_sentinel("s", 1))]
    store, sentinel = (
        {key: value for key, value in pool.connection_kwargs.items() if key in GIVEN}
        | ({"tls": True} if pool.connection_class is SSLConnection else {})
        for pool in pools
    )
    return store, sentinel


SERVER = {"host": "10.0.0.9", "port": 6379, "db": 0}
SENTINEL = {"host": "s", "port": 1, "db": 0}


@pytest.mark.parametrize(
    ("url", "store", "sentinel"),
    [
        pytest.param("redis+sentinel://a/main", SERVER, SENTINEL, id="hosts only"),
        pytest.param("redis+sentinel://a/main/5", SERVER | {"db": 5}, SENTINEL, id="a database, of the store alone"),
        pytest.param(
            "redis+sentinel://me:p%40ss%2F%25@a/main",
            SERVER | {"username": "me", "password": "p@ss/%"},
            SENTINEL,
            id="a password, decoded, for the store alone",
        ),
        pytest.param("redis+sentinel://:x@a/main", SERVER | {"password": "x"}, SENTINEL, id="no user"),
        pytest.param(
            "redis+sentinel://a/main?sentinel_username=u&sentinel_password=p%40ss%2B+%C3%B6",
            SERVER,
            SENTINEL | {"username": "u", "password": "p@ss+ ö"},
            id="a login of the Sentinels",
        ),
        pytest.param(
            "redis+sentinel://a/main?sentinel_password=x",
            SERVER,
            SENTINEL | {"password": "x"},
            id="a password of the Sentinels",
        ),
        pytest.param(
            "rediss+sentinel://a/main?ssl_ca_certs=%2Fca.pem&socket_keepalive=true",
            SERVER | {"tls": True, "ssl_ca_certs": "/ca.pem", "socket_keepalive": True},
            SENTINEL | {"tls": True, "ssl_ca_certs": "/ca.pem"},
            id="TLS for both",
        ),
        pytest.param(
            "rediss+sentinel://a/main?sentinel_ssl=false&ssl_ca_certs=x",
            SERVER | {"tls": True, "ssl_ca_certs": "x"},
            SENTINEL,
            id="TLS for the store alone",
        ),
        pytest.param(
            "redis+sentinel://a/main?sentinel_ssl=true",
            SERVER,
            SENTINEL | {"tls": True},
            id="TLS for the Sentinels alone",
        ),
    ],
)
def test_the_store_and_the_sentinels_get_their_own_options(
    url: str, store: dict[str, object], sentinel: dict[str, object]
) -> None:
    """User, password, database and options go to the store; the Sentinels have their own login and TLS."""
    assert _read(url) == (store, sentinel)


def test_sentinels_are_listed_with_their_ports() -> None:
    """Sentinels are separated by commas; the default port is 26379, and IPv6 addresses are in brackets."""
    url = SentinelUrl.parse("redis+sentinel://:secret@one,two:1234,[2001:db8::1]:26380,[::1]/my-main/0")
    assert url.sentinels == (("one", 26379), ("two", 1234), ("2001:db8::1", 26380), ("::1", 26379))
    assert url.service == "my-main"
    assert url.of_sentinel("2001:db8::1", 26380) == "redis://[2001:db8::1]:26380/0"
    assert "secret" not in repr(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://a", "names no service"),
        ("redis+sentinel://a/", "names no service"),
        ("redis+sentinel://a/main/x", "database number"),
        ("redis+sentinel://a,:1/main", "a Sentinel without a host"),
        ("redis+sentinel://a:x/main", "has an invalid port"),
        ("redis+sentinel://a/main?sentinel_ssl=yes", "neither true nor false"),
        ("redis+sentinel://u:pass/word@a/main", "not percent-encoded"),
        ("redis+sentinel://u:pass?word@a/main", "not percent-encoded"),
        ("redis+sentinel://u:pass@word@a/main", "not percent-encoded"),
        ("redis+sentinel://u:pass#word@a/main", "not percent-encoded"),
    ],
)
def test_an_invalid_sentinel_url_is_refused_without_showing_the_password(url: str, says: str) -> None:
    """The error for an invalid URL gives the reason and shows no part of the password."""
    with pytest.raises(ValueError, match=says) as caught:
        SentinelUrl.parse(url)
    assert "pass/" not in str(caught.value)
    assert "word@" not in str(caught.value)
