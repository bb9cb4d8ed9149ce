"""The record of a refused request for the doctor: the signed data, limited in size.

Creating a record is cheap. `router.diagnosis.signature` analyses it, only when the doctor runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from router.message.raw import Raw

# The maximum bytes of a record with its field names: SIGNED, and the short fields below.
MOST: Final = 16 * 1024
# The maximum bytes of target and body together. A WhatsApp message of 1,000 non-Latin characters has about 7 KB.
SIGNED: Final = 11 * 1024
# Twilio's signatures have 28 or 44 characters, before a proxy escapes them.
_SIGNATURE: Final = 200
_SETTINGS: Final = 300
_REASON: Final = 300
_METHOD: Final = 20
_CONTENT_TYPE: Final = 200
_BASES, _BASE = 3, 300
_HOSTS, _HOST = 6, 253  # the maximum length of a host name: RFC 1035
_PORTS, _PORT = 3, 5
_PREFIXES, _PREFIX = 6, 100


@dataclass(frozen=True, slots=True)
class Seen:
    """The hosts, ports and prefixes that the request and its proxies name for its URL; none of them is verified.

    `hosts` may have ports; `prefixes` begin with a `/`.
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """One refused request.

    `at` is in ms since 1970. `status` is the answer: 403, or 404 if its path is not a webhook. `bases` are the accepted
    public base URLs, without credentials; if there was none, `doubt` is the reason, and `bases` has those that the
    request names. `length` is that of the received body. `whole` is whether all signed data is stored; otherwise no
    signature can be computed. `others` counts the requests of this account that the process refused since its previous
    record, and did not record.
    """

    at: int
    status: int
    reason: str
    method: str
    content_type: str
    target: str = field(repr=False)
    body: bytes = field(repr=False)
    length: int
    whole: bool
    signature: str = field(repr=False)
    signature_settings: str
    bases: tuple[str, ...]
    seen: Seen = field(default_factory=Seen)
    doubt: str = ""
    others: int = 0

    @property
    def raw(self) -> Raw:
        """The request as it was received, if `whole`."""
        query = self.target.partition("#")[0].partition("?")[2].encode("latin-1", "replace")
        return Raw(self.method, self.content_type, query if self.method == "GET" else self.body)

    def fields(self) -> list[tuple[str, str]]:
        """Decode the form; the last field may be truncated."""
        try:
            return list(self.raw.fields())
        except ValueError:
            return []


def keep(  # noqa: PLR0913 - the parts of a request
    raw: Raw,
    target: str,
    *,
    at: int,
    status: int,
    reason: str,
    signature: str,
    signature_settings: str | None,
    bases: Iterable[str],
    seen: Seen,
    doubt: str = "",
) -> Refused:
    """Return the record of a request, of at most `MOST` bytes."""
    body = raw.body if raw.method == "POST" else b""  # a GET has its parameters in the target
    stored = target[:SIGNED]
    room = SIGNED - len(stored)
    settings = signature_settings or ""
    return Refused(
        at=at,
        status=status,
        reason=reason[:_REASON],
        method=raw.method[:_METHOD],
        content_type=raw.content_type[:_CONTENT_TYPE],
        target=stored,
        body=body[:room],
        length=len(raw.body),
        whole=len(target) <= SIGNED
        and len(body) <= room
        and len(signature) <= _SIGNATURE
        and len(settings) <= _SETTINGS,
        signature=signature[:_SIGNATURE],
        signature_settings=settings[:_SETTINGS],
        bases=_names((_without_credentials(base) for base in bases), _BASES, _BASE),
        seen=Seen(
            hosts=_names(seen.hosts, _HOSTS, _HOST),
            ports=_names(seen.ports, _PORTS, _PORT),
            prefixes=_names(seen.prefixes, _PREFIXES, _PREFIX),
        ),
        doubt=doubt[:_REASON],
    )


def _names(names: Iterable[str], most: int, longest: int) -> tuple[str, ...]:
    """Return the first few names that can be part of a URL, without blanks and control characters."""
    found = dict.fromkeys(each for each in names if 0 < len(each) <= longest and each.isascii())
    return tuple(each for each in found if each.isprintable() and " " not in each)[:most]


def _without_credentials(base: str) -> str:
    scheme, mark, rest = base.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
