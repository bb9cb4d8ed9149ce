"""Protection against cross-site request forgery: a browser adds saved credentials to requests from any site's page.

There are no CSRF tokens: the browser states where a request comes from, in `Sec-Fetch-Site` for https and localhost,
and in `Origin` always. The rule is that of Go's `http.CrossOriginProtection`, and of OWASP's cheat sheet:
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from router.settings import Settings
from router.web.public import own_base, public_bases

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))  # RFC 9110, section 9.2.1
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SHOWN: Final = 100


def refusal(environ: Mapping[str, Any], settings: Settings, *, page: bool, base: str = "") -> str:
    """Return why a request is refused; "" if it may make changes, or is read-only.

    Not used for requests that Twilio signs, for which only the signature counts.

    Args:
        environ: the request.
        settings: the settings, which have the public bases.
        page: whether only our own pages send such requests. Otherwise requests without an origin (from programs) and
            with `none` (from the user or an extension) are allowed as well; no page can send either.
        base: a base URL of our pages, in addition to the public ones (`router.web.public.page_base`).
    """
    if environ["REQUEST_METHOD"] in _SAFE:
        return ""
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        if site == "same-origin" or (site == "none" and not page):
            return ""
        return f"Sec-Fetch-Site is {site[:_SHOWN]!r}: a page of another site sent this"
    if origin is not None:
        if origin in own_origins(environ, settings, base):
            return ""
        return f"Origin is {origin[:_SHOWN]!r}, not the router's: a page of another site sent this"
    return "the headers Sec-Fetch-Site and Origin are missing, so it is not known which page sent this" if page else ""


def own_origins(environ: Mapping[str, Any], settings: Settings, *also: str) -> frozenset[str]:
    """Return the origins of the router's own pages, and of the bases in `also`."""
    return frozenset(_origins((*public_bases(environ, settings), own_base(environ, settings), *also)))


def _origins(bases: Iterable[str]) -> Iterator[str]:
    """Yield the origins of the router's pages, as a browser writes them: RFC 6454, section 6.2."""
    for base in bases:
        parts = urlsplit(base)
        if parts.hostname:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
            yield f"{parts.scheme}://{host}{port}"
