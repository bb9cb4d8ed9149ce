"""The URL of a store with Sentinels: `redis+sentinel://user:password@host:26379,host:26379/service/0?option=value`.

Other programs with redis-py use the same form. With `rediss+sentinel` store and Sentinels use TLS. User, password and
database are the store's. Options for the Sentinels are `sentinel_username`, `sentinel_password`, and `sentinel_ssl`
(`true` or `false`) if only one of the two uses TLS. All other options are redis-py's, for example `ssl_ca_certs`; those
for TLS also apply to the Sentinels.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from router.server_url import address, server_url, split, userinfo

SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_PORT: Final = 26379
_OURS: Final = ("sentinel_username", "sentinel_password", "sentinel_ssl")


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """A parsed URL of a store with Sentinels; `sentinels` are (host, port)."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    _scheme: str
    _sentinel_scheme: str
    _database: str
    _credentials: str = field(repr=False)
    _sentinel_credentials: str = field(repr=False)
    _options: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "SentinelUrl":
        """Parse the URL; raise ValueError with the reason, which never shows a password, if it is invalid."""
        name, credentials, hosts, path, query = split(url)
        service, _, database = path.partition("/")
        sentinels = tuple(address(host, port=_PORT, what="Sentinel") for host in hosts)
        if not service:
            raise ValueError("names no service: it ends with /<the name that the Sentinels give to the master>")
        if database and not (database.isascii() and database.isdecimal()):
            raise ValueError("has something other than a database number after the service's name")
        options = parse_qsl(query, keep_blank_values=True)
        own = {key: value for key, value in options if key in _OURS}
        scheme = SCHEMES[name]
        tls = own.get("sentinel_ssl", "true" if scheme == "rediss" else "false")
        if tls not in ("true", "false"):
            raise ValueError("has a sentinel_ssl that is neither true nor false")
        return cls(
            sentinels=sentinels,
            service=service,
            _scheme=scheme,
            _sentinel_scheme="rediss" if tls == "true" else "redis",
            _database=database or "0",
            _credentials=credentials,
            _sentinel_credentials=userinfo(own.get("sentinel_username", ""), own.get("sentinel_password", "")),
            _options=tuple((key, value) for key, value in options if key not in _OURS),
        )

    def of_store(self, host: str, port: int) -> str:
        """Return the URL of a server of the store, as redis-py reads it."""
        return server_url(self._scheme, self._credentials, (host, port), self._database, self._options)

    def of_sentinel(self, host: str, port: int) -> str:
        """Return the URL of a Sentinel, as redis-py reads it."""
        tls = self._sentinel_scheme == "rediss"
        options = [(key, value) for key, value in self._options if tls and key.startswith("ssl_")]
        return server_url(self._sentinel_scheme, self._sentinel_credentials, (host, port), "0", options)
