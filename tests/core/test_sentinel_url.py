"""`redis+sentinel://`: the URLs of store and Sentinels that it stands for."""

import pytest
from redis import ConnectionPool, SSLConnection

from router.sentinel_url import SentinelUrl

# What redis-py takes from a URL; the rest are its own defaults.
GIVEN = {"host", "port", "db", "username", "password", "ssl_ca_certs", "socket_keepalive"}


def _read(url: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return what redis-py makes of the URLs of a server and of a Sentinel."""
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
        pytest.param("redis+sentinel://a/main", SERVER, SENTINEL, id="nothing but where"),
        pytest.param(
            "redis+sentinel://a/main/5", SERVER | {"db": 5}, SENTINEL, id="a database, which a Sentinel has not"
        ),
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
            id="a password of theirs",
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
def test_each_gets_what_is_its_own(url: str, store: dict[str, object], sentinel: dict[str, object]) -> None:
    """User, password, database and options are the store's; the Sentinels have a login and TLS of their own."""
    assert _read(url) == (store, sentinel)


def test_sentinels_are_listed_with_their_ports() -> None:
    """Separated by commas, with 26379 where no port is given, and IPv6 in brackets."""
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
def test_what_is_wrong_is_said_without_the_password(url: str, says: str) -> None:
    """A URL that cannot be read stops the start with the reason, which has no part of a password in it."""
    with pytest.raises(ValueError, match=says) as caught:
        SentinelUrl.parse(url)
    assert "pass/" not in str(caught.value)
    assert "word@" not in str(caught.value)
