"""Which host names are trusted as the router's own without a public URL; any other may be a target's."""

import base64
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator

from router.app import create_app
from router.tunnel_address import TunnelRecord
from tests.e2e.service import ACCOUNT, TOKEN, parameters

NUMBERS = itertools.count(1)
PROXY, STRANGER = "10.0.0.1", "192.0.2.7"
TRUSTED = {"ROUTER_TRUSTED_PROXIES": "10.0.0.0/8"}
Make = Callable[..., FlaskClient]


@pytest.fixture
def router(redis_url: str, tmp_path: Path) -> Make:
    """Make a router without a public URL, with further settings."""

    def make(**more: str) -> FlaskClient:
        given = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(tmp_path)}
        return create_app(given | {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN} | more).test_client()

    return make


def send(client: FlaskClient, base: str, peer: str = STRANGER, **headers: str) -> tuple[int, str]:
    """Send a message signed for a base, with the base's host unless `headers` say another; return the answer."""
    fields = parameters(next(NUMBERS), "+15550000002")
    signature = RequestValidator(TOKEN).compute_signature(f"{base}/webhooks/sms", fields)
    given = {"Host": base.partition("://")[2]} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post(
        "/webhooks/sms",
        data=fields,
        headers={"X-Twilio-Signature": signature} | given,
        environ_overrides={"REMOTE_ADDR": peer},
    )
    return answer.status_code, answer.text


def listed(client: FlaskClient, host: str, **options: Any) -> tuple[int, Any]:
    """List flows with the account's credentials."""
    basic = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    answer = client.get("/v1/FlexFlows", headers={"Authorization": f"Basic {basic}", "Host": host} | options)
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:1",
        "router.localhost:8080",
        "127.0.0.1:8000",
        "127.200.3.4",
        "[::1]:8000",
    ],
)
def test_a_loopback_host_is_trusted(router: Make, host: str) -> None:
    """A loopback host name is trusted: its webhooks verify, and list URLs use it."""
    client = router()
    assert send(client, f"http://{host}")[0] == 200
    assert listed(client, host)[1]["meta"]["url"].startswith(f"http://{host}/v1/FlexFlows")


@pytest.mark.parametrize(
    "host",
    [
        "target.example",
        "target.example:8000",
        "localhost.target.example",
        "target.example/x.localhost",
        "target.example#.localhost",
        "target.example?x=.localhost",
        "target.example:80@localhost",
        "x@localhost",
        "mylocalhost",
        "localhost.",
        "127.0.0.1.target.example",
        "128.0.0.1",
        "10.0.0.1",
        "[::2]",
        "[::ffff:192.0.2.1]",
        "",
    ],
)
def test_no_other_host_is_trusted(router: Make, host: str) -> None:
    """A webhook signed by our key for another host, as a target could have it, is 403; so are lists."""
    client = router()
    assert send(client, f"http://{host}") == (403, "Forbidden")
    status, body = listed(client, host)
    assert (status, body["code"]) == (403, 20403)
    assert listed(client, "localhost")[0] == 200


def test_a_target_cannot_forge_a_message(router: Make) -> None:
    """A target cannot turn a request that the router signed for it into a forged webhook."""
    base = "http://target.example/webhooks/sms"
    sent = parameters(next(NUMBERS), "+15550000002")
    forged = parameters(next(NUMBERS), "+15559999999", Body="forged")
    url = base + "".join(name + value for name, value in sorted(forged.items())) + "zz"
    forged["zz"] = "".join(name + value for name, value in sorted(sent.items()))
    signature = RequestValidator(TOKEN).compute_signature(url, sent)  # as the router signs requests to a flow's URL
    assert RequestValidator(TOKEN).validate(base, forged, signature)
    headers = {"X-Twilio-Signature": signature, "Host": "target.example"}
    assert router().post("/webhooks/sms", data=forged, headers=headers).status_code == 403


@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}"], ids=["IPv4", "IPv4 on a socket for both"])
def test_a_trusted_proxys_forwarded_host_is_trusted(router: Make, peer: str) -> None:
    """A trusted proxy's X-Forwarded-Host and X-Forwarded-Proto are the signed base, whatever Host says."""
    client = router(**TRUSTED)
    said = {"X_Forwarded_Host": "router.example.com", "X_Forwarded_Proto": "https"}
    assert send(client, "https://router.example.com", peer, Host="upstream", **said)[0] == 200


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        pytest.param(PROXY, {"Host": "target.example"}, id="a proxy that passes the Host on, and says nothing"),
        pytest.param(PROXY, {"X_Forwarded_Host": "target.example, router.example.com"}, id="a proxy that adds"),
        pytest.param(PROXY, {"X_Forwarded_Host": "target.example/x"}, id="a proxy that says no host"),
        pytest.param(STRANGER, {"X_Forwarded_Host": "target.example"}, id="not a proxy of ours"),
        pytest.param("", {"X_Forwarded_Host": "target.example"}, id="a unix socket has no address to trust"),
    ],
)
def test_other_forwarded_hosts_are_not_trusted(router: Make, peer: str, headers: dict[str, str]) -> None:
    """X-Forwarded-Host counts only with exactly one host and from a trusted proxy."""
    client = router(**TRUSTED)
    assert send(client, "http://target.example", peer, **{"Host": "upstream"} | headers) == (403, "Forbidden")


def test_with_a_tunnel_only_its_base_is_trusted(router: Make, tmp_path: Path) -> None:
    """With an open tunnel its base is trusted, and no other host."""
    client = router()
    with TunnelRecord(tmp_path) as record:
        record.publish("https://first.example.app")
        assert send(client, "https://first.example.app")[0] == 200
        assert send(client, "http://target.example") == (403, "Forbidden")


def test_with_a_public_url_no_host_header_counts(router: Make) -> None:
    """With ROUTER_PUBLIC_URL neither Host nor X-Forwarded-Host changes the base that must be signed."""
    client = router(ROUTER_PUBLIC_URL="https://router.example.com", **TRUSTED)
    assert send(client, "https://router.example.com", Host="anything")[0] == 200
    assert send(client, "http://target.example", PROXY, X_Forwarded_Host="target.example") == (403, "Forbidden")


@pytest.mark.parametrize(
    ("trusted", "advice"), [({}, ""), (TRUSTED, ", or let the proxy overwrite X-Forwarded-Host with its own")]
)
def test_the_log_says_which_host_was_not_trusted(
    router: Make, trusted: dict[str, str], advice: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The answer is only 403; the log names the host and what to set."""
    client = router(**trusted)
    assert send(client, "http://target.example", PROXY) == (403, "Forbidden")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (reason,) = [line["reason"] for line in lines if line["event"] == "webhook"]
    assert reason.startswith("the host 'target.example' is not trusted: set ROUTER_PUBLIC_URL to the base")
    assert reason.partition(" at Twilio")[2] == advice


def test_the_openapi_document_names_only_a_trusted_host(router: Make) -> None:
    """The OpenAPI document names its server only if the host is trusted, else `/`."""
    client = router()
    for host, server in (("localhost:8000", "http://localhost:8000"), ("target.example", "/")):
        answer = client.get("/v1/openapi.json", headers={"Host": host}).get_json()
        assert answer["servers"] == [{"url": server}]
