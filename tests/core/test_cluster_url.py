"""`redis+cluster://`: the URLs of nodes that it stands for."""

import pytest
from redis import ConnectionPool, SSLConnection

from router.cluster_url import ClusterUrl
from router.errors import SettingsError
from router.settings import load


@pytest.mark.parametrize(
    ("url", "seeds"),
    [
        ("redis+cluster://a", [("a", 6379)]),
        ("redis+cluster://a:7000,b,c:7001/", [("a", 7000), ("b", 6379), ("c", 7001)]),
        ("redis+cluster://[2001:db8::1]:7000,[::1]/0", [("2001:db8::1", 7000), ("::1", 6379)]),
        ("rediss+cluster://me:secret@config.example.com?ssl_ca_certs=/ca.pem", [("config.example.com", 6379)]),
    ],
)
def test_hosts_are_read(url: str, seeds: list[tuple[str, int]]) -> None:
    """One host or several, with a port or without; IPv6 addresses stand in brackets."""
    assert list(ClusterUrl.parse(url).seeds) == seeds


def test_every_node_is_spoken_to_as_the_url_says() -> None:
    """User, password, TLS and options are the same for nodes that the URL does not name; the password is not shown."""
    url = ClusterUrl.parse("rediss+cluster://me:p%40ss%2F@a?ssl_ca_certs=/ca.pem&socket_keepalive=true")
    pool = ConnectionPool.from_url(url.of_node(("2001:db8::7", 7000)))
    assert pool.connection_class is SSLConnection
    given = {"host": "2001:db8::7", "port": 7000, "username": "me", "password": "p@ss/", "ssl_ca_certs": "/ca.pem"}
    assert {name: pool.connection_kwargs[name] for name in given} == given
    assert "p%40ss" not in repr(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+cluster://", "does not begin with"),
        ("redis+cluster://a,,b", "has a node without a host"),
        ("redis+cluster://a:x", "has an invalid port"),
        ("redis+cluster://me:se/cret@a", "not percent-encoded"),
        ("redis+cluster://a/1", "names a database"),
    ],
)
def test_what_is_wrong_is_said_at_the_start(url: str, reason: str) -> None:
    """The sentence says which part it is, and shows no password."""
    with pytest.raises(SettingsError, match=reason) as caught:
        load({"ROUTER_REDIS_URL": url, "TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "TWILIO_AUTH_TOKEN": "2" * 32})
    assert "cret" not in str(caught.value)
