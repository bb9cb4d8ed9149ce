"""URLs of the web."""

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
def test_what_is_no_url_is_told(text: str) -> None:
    """A URL has a scheme of the web, a host, a port that exists, and no white space."""
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
    """Breakers, shares and metrics know a target by its origin."""
    assert is_http_url(url)
    assert origin(url) == expected
