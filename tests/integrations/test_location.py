"""A target's URL: what is connected to, requested, signed and counted."""

import pytest

from router.integrations.location import Location, locate

# A flow's URL, and from it: the URL as requested and signed, the Host header, the path, the target's name.
URLS = {
    "no path": ("https://a.test", "https://a.test/", "a.test", "/", "https://a.test"),
    "no path, a query": ("https://a.test?x=1", "https://a.test/?x=1", "a.test", "/?x=1", "https://a.test"),
    "its own port": ("https://a.test:443/b", "https://a.test:443/b", "a.test:443", "/b", "https://a.test"),
    "another port": ("http://a.test:443/b", "http://a.test:443/b", "a.test:443", "/b", "http://a.test:443"),
    "upper case": ("HTTPS://A.Test/B", "https://A.Test/B", "A.Test", "/B", "https://a.test"),
    "a fragment": ("https://a.test/b#rc=2", "https://a.test/b", "a.test", "/b", "https://a.test"),
    "credentials": ("https://u:p@a.test/b", "https://a.test/b", "a.test", "/b", "https://a.test"),
    "IPv6": (
        "http://[2001:DB8::1]:81/",
        "http://[2001:DB8::1]:81/",
        "[2001:DB8::1]:81",
        "/",
        "http://[2001:db8::1]:81",
    ),
    "escapes as written": ("https://a.test/%2f%7E~", "https://a.test/%2f%7E~", "a.test", "/%2f%7E~", "https://a.test"),
    "a blank": ("https://a.test/a b", "https://a.test/a%20b", "a.test", "/a%20b", "https://a.test"),
    "not ASCII": ("https://ñ.test/ñ", "https://xn--ida.test/%C3%B1", "xn--ida.test", "/%C3%B1", "https://xn--ida.test"),
}


@pytest.mark.parametrize(("written", "url", "netloc", "path", "origin"), URLS.values(), ids=URLS.keys())
def test_a_url_is_requested_and_signed_as_written(written: str, url: str, netloc: str, path: str, origin: str) -> None:
    """A URL is requested and signed as written, except for what cannot be requested or is not signed."""
    found: Location = locate(written)
    assert (found.url, found.netloc, found.path, found.origin) == (url, netloc, path, origin)


@pytest.mark.parametrize(
    "url", ["", "a.test/b", "ftp://a.test/", "https://", "https:///b", "https://a.test:99999/", "//a"]
)
def test_an_invalid_url_is_refused(url: str) -> None:
    """A text that is not an absolute http(s) URL is refused."""
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        locate(url)
