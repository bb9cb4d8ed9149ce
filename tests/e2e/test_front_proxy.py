"""nginx before two routers, with the configuration of deploy/: what it forwards, refuses and logs."""

import http.client
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode

import pytest
from twilio.request_validator import RequestValidator

from tests.e2e.service import BASE, TOKEN
from tests.e2e.world import Reply, World, sign
from tests.integrations.target import CERTIFICATE, Target
from tests.ports import free_port
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import Events, Visitor, web_flow

NAME: Final = BASE.partition("://")[2]
DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ELSEWHERE: Final = "https://target.example.com/"
# The part of Debian's nginx.conf around the site, with paths in the test's folder.
MAIN: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


class BehindNginx(World):
    """Two routers that know their public URL only from nginx, and the nginx that gets every request."""

    def __init__(self, folder: Path, valkey: ValkeyServer) -> None:
        config = 'trusted_proxies = ["127.0.0.1/32"]\n[handlers]\necho = "router.demo:handle"\n'
        super().__init__(folder, valkey, processes=2, config=config, public_url="")
        self.folder = folder
        self.port = free_port()
        site = (DEPLOY / "nginx.conf").read_text()
        [server] = re.findall("^    (server 127.0.0.1:8000.*;)$", site, re.MULTILINE)
        for written, ours in (
            (server, "".join(server.replace("8000", str(each.port)) for each in self.services)),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("listen [::]:443 ssl;", ""),
            ("messages.example.com;", f"{NAME};"),
            ("/etc/letsencrypt/live/messages.example.com/fullchain.pem", str(CERTIFICATE)),
            ("/etc/letsencrypt/live/messages.example.com/privkey.pem", str(CERTIFICATE)),
            ("/var/log/nginx/router.log", f"{folder}/access.log"),
            ("/var/log/nginx/router-error.log", f"{folder}/errors.log"),
        ):
            assert written in site
            site = site.replace(written, ours)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, site=site))
        self.process = subprocess.Popen([nginx(), "-p", folder, "-c", folder / "nginx.conf"])
        wait_until(self._serves, what="nginx serves")

    def _serves(self) -> bool:
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        try:
            return self.send("GET", "/", b"", {}).status == 404
        except OSError:
            return False

    def connection(self) -> http.client.HTTPSConnection:
        """Connect to nginx."""
        context = ssl.create_default_context(cafile=CERTIFICATE)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)

    def send(self, method: str, target: str, body: bytes, headers: Mapping[str, str], *, process: int = 0) -> Reply:  # noqa: ARG002 - nginx chooses
        """Send any request to nginx."""
        began = time.monotonic()
        given = {"Host": NAME, "Content-Type": "application/x-www-form-urlencoded"}
        connection = self.connection()
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, body or None, given | names)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read(), time.monotonic() - began)
        finally:
            connection.close()

    def close(self) -> None:
        """End nginx and the routers."""
        self.process.terminate()
        self.process.wait(timeout=10)
        super().close()


def nginx() -> str:
    """Return the path of Debian's nginx; without it these tests are skipped, and fail in CI."""
    path = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        missing = "nginx is not installed; on Debian: apt-get install --no-install-recommends nginx"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def received(target: Target, name: str) -> list[str]:
    """Return a field of each message that the target received."""
    return [parse_qs(each.body.decode())[name][0] for each in target.requests]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindNginx]:
    """Two routers behind nginx."""
    valkey = ValkeyServer()
    world = BehindNginx(tmp_path_factory.mktemp("world"), valkey)
    yield world
    world.close()
    valkey.close()


def test_a_message_reaches_its_target(world: BehindNginx) -> None:
    """Nginx forwards path, query and body as Twilio signed them, as a form and as a query of 54 KB."""
    with Target() as target:
        flow = world.flow(target.url(), response="relay")
        fields = world.fields(flow, Body="100 % + 1 / ä")
        assert world.post(fields).status == 200
        longest = world.fields(flow, Body="ä" * 9000)
        path = "/webhooks/sms?" + urlencode(longest)
        assert len(path) > 54_000
        signature = RequestValidator(TOKEN).compute_signature(BASE + path, {})
        assert world.send("GET", path, b"", {"X-Twilio-Signature": signature}).status == 200
        assert received(target, "Body") == [fields["Body"], longest["Body"]]


@pytest.mark.parametrize(
    "path",
    [
        "/", "/console", "/metrics", "/readyz", "/healthz", "/v1/FlexFlows", "/webhook", "//metrics",
        "/webhooks/../metrics", "/webhooks/%2e%2e/metrics", "/webhooks/..%2fmetrics", "/chat/../metrics",
        "/metrics/..%2fwebhooks/sms", "/metrics/../chat", "/Metrics", "/chats",
    ],
)  # fmt: skip
def test_only_webhooks_and_chat_are_reached_from_outside(world: BehindNginx, path: str) -> None:
    """Nginx answers 404 for every other path, however it is written."""
    reply = world.send("GET", path, b"", {})
    assert (reply.status, b"nginx" in reply.body) == (404, True)


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host"])
def test_a_client_cannot_name_another_host(world: BehindNginx, header: str) -> None:
    """A request that was signed for another host is refused, also if a header names that host."""
    fields = world.fields(world.flow(ELSEWHERE))
    signature = RequestValidator(TOKEN).compute_signature("https://target.example.com/webhooks/sms", fields)
    given = {"X-Twilio-Signature": signature, header: "target.example.com"}
    assert world.send("POST", "/webhooks/sms", urlencode(fields).encode(), given).status == 403


def test_chat_events_are_not_buffered(world: BehindNginx) -> None:
    """Nginx forwards each event of a chat at once."""
    visitor = Visitor(world, web_flow(world))
    visitor.begin()
    connection = world.connection()
    headers = {"Host": NAME, "Authorization": f"Bearer {visitor.token}", "Last-Event-ID": "-1"}
    connection.request("GET", "/chat/events", headers=headers)
    with connection.getresponse() as response:
        events = Events(response)
        assert visitor.say("Hello").status == 201
        while events.next()[1].get("body") != "Hello":
            pass
    connection.close()


def test_nginx_refuses_a_body_over_the_routers_limit(world: BehindNginx) -> None:
    """Nginx answers 413 to a body over the router's limit, and does not forward it."""
    reply = world.send("POST", "/webhooks/sms", b"Body=" + b"a" * 140_000, {})
    assert (reply.status, b"nginx" in reply.body) == (413, True)


def test_the_log_has_no_query(world: BehindNginx) -> None:
    """Nginx's access log has the path of a GET webhook, and not its query."""
    path = "/webhooks/sms?" + urlencode(world.fields(world.flow(ELSEWHERE), Body="a-secret-text"))
    signature = sign(path)
    assert world.send("GET", path, b"", {"X-Twilio-Signature": signature}).status == 200
    log = world.folder / "access.log"
    wait_until(lambda: "GET /webhooks/sms 200" in log.read_text(), what="the request is in the log")
    assert "a-secret-text" not in log.read_text()


def test_a_rolling_restart_loses_no_message(world: BehindNginx) -> None:
    """While one of two routers is down, nginx sends every message to the other one; all arrive once and in order."""
    with Target() as target:
        flow = world.flow(target.url())
        theirs, sent = world.address(), []
        for service in world.services:
            service.kill()
            try:
                for _ in range(8):
                    sent.append(world.fields(flow, theirs))
                    assert world.post(sent[-1]).status == 200
            finally:
                service.start()
        sids = [fields["MessageSid"] for fields in sent]
        wait_until(lambda: received(target, "MessageSid") == sids, what="all messages have arrived, in order")


def test_no_message_is_in_the_logs_when_all_routers_are_down(world: BehindNginx) -> None:
    """If all routers are down, nginx answers 502, and a webhook's text is in none of its logs."""
    path = "/webhooks/sms?" + urlencode(world.fields(world.flow(ELSEWHERE), Body="another-secret-text"))
    for service in world.services:
        service.kill()
    try:
        assert world.send("GET", path, b"", {"X-Twilio-Signature": sign(path)}).status == 502
        log = world.folder / "access.log"
        wait_until(lambda: "GET /webhooks/sms 502" in log.read_text(), what="the request is in the log")
        assert not [name for name in world.folder.glob("*.log") if "another-secret-text" in name.read_text()]
    finally:
        for service in world.services:
            service.start()
