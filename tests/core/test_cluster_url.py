"""Reading `redis+cluster://` URLs."""

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
    """A cluster URL names one or more hosts, with or without a port; IPv6 addresses are in brackets."""
    assert list(ClusterUrl.parse(url).seeds) == seeds


def test_every_node_gets_the_user_tls_and_options_of_the_url() -> None:
    """A node that the URL does not name gets the URL's user, password, TLS and options; repr hides the password."""
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
def test_an_invalid_cluster_url_is_refused_at_start(url: str, reason: str) -> None:
    """The error for an invalid cluster URL names the wrong part and shows no password."""
    with pytest.raises(SettingsError, match=reason) as caught:
        load({"ROUTER_REDIS_URL": url, "TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "TWILIO_AUTH_TOKEN": "2" * 32})
    assert "cret" not in str(caught.value)
