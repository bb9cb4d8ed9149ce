"""Requests of programs and of our own pages may change something; those of another site's page may not."""

from collections.abc import Iterator

import pytest

from router.settings import load
from router.web.same_origin import refusal
from tests.valkey import ValkeyServer
from tests.web.rest import BASE, Rest, flow_form, rest_over

FLOWS = "/v1/FlexFlows"
# Headers with which a browser names a request's origin -> whether a REST resource accepts it, whether a page does.
CASES = {
    "no header: a program": ({}, True, False),
    "our own page": ({"Sec-Fetch-Site": "same-origin"}, True, True),
    "the user, or an extension": ({"Sec-Fetch-Site": "none"}, True, False),
    "another host of our domain": ({"Sec-Fetch-Site": "same-site"}, False, False),
    "another site": ({"Sec-Fetch-Site": "cross-site"}, False, False),
    "a value that no browser sends": ({"Sec-Fetch-Site": "same-origin, same-origin"}, False, False),
    "an empty value": ({"Sec-Fetch-Site": ""}, False, False),
    "another site, with our origin": ({"Sec-Fetch-Site": "cross-site", "Origin": BASE}, False, False),
    "our origin, from an old browser": ({"Origin": BASE}, True, True),
    "the origin of the host itself": ({"Origin": "http://localhost"}, True, True),
    "another origin": ({"Origin": "https://evil.example"}, False, False),
    "our host, another scheme": ({"Origin": "http://router.example.com"}, False, False),
    "our host, another port": ({"Origin": f"{BASE}:8443"}, False, False),
    "our host as the beginning": ({"Origin": f"{BASE}.evil.example"}, False, False),
    "a hidden origin": ({"Origin": "null"}, False, False),
    "an empty origin": ({"Origin": ""}, False, False),
}


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """The REST resources on a public base, over a store of their own."""
    valkey = ValkeyServer()
    with rest_over(valkey, tmp_path_factory.mktemp("rest")) as rest:
        yield rest
    valkey.close()


def environ(headers: dict[str, str], method: str = "POST", host: str = "localhost") -> dict[str, str]:
    """Make a request's WSGI environment."""
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {"REQUEST_METHOD": method, "HTTP_HOST": host, "wsgi.url_scheme": "http"} | named


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_which_origins_may_change_something(case: str, method: str) -> None:
    """A change needs the origin headers in CASES: a REST resource also accepts none, a page does not."""
    headers, program, page = CASES[case]
    settings = load({"ROUTER_PUBLIC_URL": BASE})
    for passes, is_page in ((program, False), (page, True)):
        assert (refusal(environ(headers, method), settings, page=is_page) == "") == passes


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_get_from_another_site_is_accepted(method: str) -> None:
    """GET, HEAD and OPTIONS are accepted from any site."""
    settings = load({})
    for page in (False, True):
        assert refusal(environ({"Sec-Fetch-Site": "cross-site"}, method), settings, page=page) == ""


@pytest.mark.parametrize(
    ("public_url", "host", "origin", "passes"),
    [
        pytest.param("https://Router.example.com:443/x", "x", BASE, True, id="written otherwise"),
        pytest.param("http://router.example.com:8080", "x", "http://router.example.com:8080", True, id="a port"),
        pytest.param("https://a.example, https://b.example", "x", "https://b.example", True, id="any of several"),
        pytest.param("", "localhost:8000", "http://localhost:8000", True, id="a loopback name"),
        pytest.param("", "[::1]:8000", "http://[::1]:8000", True, id="IPv6"),
        pytest.param("", "evil.example:8000", "http://evil.example:8000", False, id="an untrusted host"),
    ],
)  # fmt: skip
def test_the_origins_that_are_the_routers_own(public_url: str, host: str, origin: str, *, passes: bool) -> None:
    """The router's own origins are those of its public bases and of a trusted host."""
    settings = load({"ROUTER_PUBLIC_URL": public_url})
    assert (refusal(environ({"Origin": origin}, host=host), settings, page=True) == "") == passes


@pytest.mark.parametrize("case", CASES)
def test_a_page_of_another_site_changes_no_flow(rest: Rest, case: str) -> None:
    """A request of another site's page is 403 despite right credentials, and nothing is written."""
    headers, passes, _ = CASES[case]
    before = rest.listed(FLOWS)
    flow = rest.create(len(before) + 1, FriendlyName=case)
    path = f"{FLOWS}/{flow['sid']}"
    written = rest.written()

    created = rest.call("POST", FLOWS, flow_form(1000 + len(before)), headers=headers)
    changed = rest.call("POST", path, {"FriendlyName": "changed"}, headers=headers)
    deleted = rest.call("DELETE", path, headers=headers)

    if passes:
        assert (created.status, changed.status, deleted.status) == (201, 200, 204), created.json
    else:
        for reply in (created, changed, deleted):
            assert reply.error[:2] == (403, 20403)
        assert rest.written() == written
    assert rest.call("GET", FLOWS, headers=headers).status == 200


def test_a_page_of_another_site_learns_nothing_of_a_password(rest: Rest) -> None:
    """A request of another site's page gets the same 403 with right and wrong credentials, without a login prompt."""
    replies = [
        rest.call("POST", FLOWS, flow_form(1), token=token, headers={"Sec-Fetch-Site": "cross-site"})
        for token in (None, "wrong")
    ]
    assert len({reply.error for reply in replies}) == 1
    assert all("WWW-Authenticate" not in reply.headers for reply in replies)
