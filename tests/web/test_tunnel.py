"""A tunnel's URL is trusted by the running router while the tunnel is open."""

import base64
import itertools
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator

from router.app import create_app
from router.errors import RouterError, SettingsError
from router.settings import load
from router.tunnel_address import NAME, TunnelRecord, TunnelWatch, read
from router.web.public import CLOSED
from tests.e2e.service import ACCOUNT, TOKEN, parameters

FIRST, SECOND, SET = "https://first.example.app", "https://second.example.app", "https://set.example.com"
NUMBERS = itertools.count(1)
Client = Callable[..., FlaskClient]


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Client:
    """Make a router over the data directory, with further settings."""

    def make(**more: str) -> FlaskClient:
        given = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(tmp_path)}
        return create_app(given | {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN} | more).test_client()

    return make


def post(client: FlaskClient, base: str, host: str = "") -> int:
    """Send a message signed for a base; return the status."""
    fields = parameters(next(NUMBERS), "+15550000002")
    signature = RequestValidator(TOKEN).compute_signature(f"{base}/webhooks/sms", fields)
    headers = {"X-Twilio-Signature": signature, "Host": host or base.partition("://")[2]}
    return client.post("/webhooks/sms", data=fields, headers=headers).status_code


def listed_at(client: FlaskClient, host: str) -> str:
    """Return the URL that a REST list gives for itself."""
    basic = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    answer = client.get("/v1/FlexFlows", headers={"Authorization": f"Basic {basic}", "Host": host})
    return str(answer.get_json()["meta"]["url"])


@pytest.mark.parametrize("configured", [{}, {"ROUTER_PUBLIC_URL": SET}], ids=["no public URL", "a public URL"])
def test_the_running_router_follows_the_tunnel(client: Client, tmp_path: Path, configured: dict[str, str]) -> None:
    """A signature over the tunnel's URL verifies as soon as it is published, and not after it has changed."""
    router = client(**configured)
    assert post(router, FIRST) == 403
    with TunnelRecord(tmp_path) as record:
        record.publish(FIRST)
        assert post(router, FIRST) == 200
        assert post(router, FIRST, host="localhost:8000") == 200
        record.publish(SECOND)
        assert (post(router, FIRST), post(router, SECOND)) == (403, 200)
    assert post(router, SECOND) == 403


def test_a_public_url_is_trusted_in_addition_to_the_tunnel(client: Client, tmp_path: Path) -> None:
    """With a tunnel ROUTER_PUBLIC_URL stays valid, and lists name the base that the request used."""
    router = client(ROUTER_PUBLIC_URL=SET)
    with TunnelRecord(tmp_path) as record:
        record.publish(FIRST)
        assert (post(router, SET), post(router, FIRST)) == (200, 200)
        for base in (SET, FIRST):
            assert listed_at(router, base.partition("://")[2]).startswith(f"{base}/v1/FlexFlows")
        assert listed_at(router, "localhost").startswith(f"{SET}/v1/FlexFlows")


def test_a_loopback_name_is_trusted_in_addition_to_the_tunnel(client: Client, tmp_path: Path) -> None:
    """With a tunnel and no public URL a signature over a loopback name verifies, as `router simulate` signs."""
    router = client()
    with TunnelRecord(tmp_path) as record:
        record.publish(FIRST)
        assert post(router, "http://localhost:8000") == 200
        assert listed_at(router, FIRST.partition("://")[2]).startswith(FIRST)


def test_a_tunnel_file_without_its_lock_is_ignored(client: Client, tmp_path: Path) -> None:
    """A tunnel's file without its lock, left by a crash, is ignored."""
    (tmp_path / NAME).write_text(json.dumps({"url": FIRST, "process": 1}))
    assert read(tmp_path) == ""
    assert post(client(), FIRST) == 403


def test_a_killed_tunnel_is_trusted_for_a_second_at_most(tmp_path: Path) -> None:
    """A killed tunnel's URL is no longer trusted after one second."""
    now = 100.0
    watch = TunnelWatch(tmp_path, lambda: now)
    record = TunnelRecord(tmp_path)
    record.publish(FIRST)
    assert watch.url() == FIRST
    record._lock, lock = -1, record._lock
    os.close(lock)  # as the kernel does for a killed process
    now = 101.0
    assert watch.url() == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 2048, "{}", '{"url": 1}', '{"url": "ftp://x"}'])
def test_a_damaged_file_is_no_tunnel(tmp_path: Path, text: str) -> None:
    """A damaged tunnel file counts as no tunnel."""
    with TunnelRecord(tmp_path) as record:
        record.publish(FIRST)
        (tmp_path / NAME).write_text(text)
        assert (read(tmp_path), TunnelWatch(tmp_path).url()) == ("", "")


def test_there_is_one_tunnel_at_a_time(tmp_path: Path) -> None:
    """A second tunnel is refused with the first one's URL; the file has mode 0600."""
    with TunnelRecord(tmp_path) as record:
        record.publish(FIRST)
        assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
        with pytest.raises(RouterError, match="another `router tunnel` runs here already, at https://first"):
            TunnelRecord(tmp_path).__enter__()
        assert read(tmp_path) == FIRST


def test_only_webhooks_are_served_at_the_port_for_tunnels(client: Client) -> None:
    """The port for tunnels serves only webhooks; the router's own port serves everything."""
    router = client(ROUTER_TUNNEL_PORT="8001")
    for path, status in (("/healthz", 404), ("/v1/FlexFlows", 404), ("/webhooks/sms", 403)):
        assert router.get(path, environ_overrides={"SERVER_PORT": "8001"}).status_code == status
    assert router.get("/healthz", headers={"Host": "localhost:8001"}).status_code == 200
    assert post(router, "http://localhost:8000") == 200


def test_web_chat_is_served_at_the_port_for_tunnels_on_request(client: Client, tmp_path: Path) -> None:
    """While `router tunnel --chat` runs, the port for tunnels also serves the visitor's side of web chat."""
    router = client(ROUTER_TUNNEL_PORT="8001")

    def statuses() -> list[bool]:
        paths = ("/chat/widget.js", "/chat", "/chats", "/console/", "/v1/FlexFlows", "/healthz")
        answers = [router.get(path, environ_overrides={"SERVER_PORT": "8001"}) for path in paths]
        return [CLOSED not in answer.data for answer in answers]

    with TunnelRecord(tmp_path, chat=True) as record:
        record.publish(FIRST)
        assert statuses() == [True, True, False, False, False, False]
    assert not any(statuses())
    with TunnelRecord(tmp_path) as record:
        record.publish(FIRST)
        assert not any(statuses())


def test_a_tunnel_has_a_port_of_its_own() -> None:
    """ROUTER_TUNNEL_PORT may not be the port of ROUTER_BIND."""
    with pytest.raises(SettingsError, match="ROUTER_TUNNEL_PORT: is the port of ROUTER_BIND"):
        load({"ROUTER_BIND": "0.0.0.0:8001", "ROUTER_TUNNEL_PORT": "8001"})
