"""Checking http(s) URLs and finding their origins."""

import pytest

from router.url import is_http_url, origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.test/b",
        "ftp://a.test/",
        "https://",
        "https:///b",
        "https://a.test:99999/",
        "//a",
        "https://a b",
        "http://a:0",
    ],
)
def test_an_invalid_url_is_recognized(text: str) -> None:
    """An http(s) URL has a scheme, a host, a valid port and no white space; other texts are none."""
    assert not is_http_url(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://u:p@a.test:8443/b?c", "https://a.test:8443"),
        ("https://A.test:443/b", "https://a.test"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_has_neither_path_nor_credentials(url: str, expected: str) -> None:
    """A URL's origin has no path, credentials or default port, and an ASCII host in lower case."""
    assert is_http_url(url)
    assert origin(url) == expected
