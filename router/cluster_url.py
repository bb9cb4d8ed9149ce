"""The URL of a Cluster: `redis+cluster://user:password@host:6379,host:6379?option=value`.

The hosts are nodes of the Cluster, which know the others, or the configuration endpoint of a managed service. With
`rediss+cluster` all connections use TLS. User and password are the same on all nodes; options are redis-py's, for
example `ssl_ca_certs`.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from router.server_url import Address, address, server_url, split

SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_PORT: Final = 6379


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    """A parsed URL of a Cluster; `seeds` are its hosts."""

    seeds: tuple[Address, ...]
    _scheme: str
    _credentials: str = field(repr=False)
    _options: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "ClusterUrl":
        """Parse the URL; raise ValueError with the reason, which never shows a password, if it is invalid."""
        scheme, credentials, hosts, path, query = split(url)
        seeds = tuple(address(host, port=_PORT, what="node") for host in hosts)
        if path not in ("", "0"):
            raise ValueError("names a database: a Cluster has only one, so nothing follows the hosts")
        return cls(seeds, SCHEMES[scheme], credentials, tuple(parse_qsl(query, keep_blank_values=True)))

    def of_node(self, node: Address) -> str:
        """Return the URL of a node, as redis-py reads it."""
        return server_url(self._scheme, self._credentials, node, "0", self._options)
