"""nginx before two routers, with the file of deploy/: what it passes on, what it keeps out, and what it writes."""

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
# What Debian's nginx.conf has around the site, in a folder of ours.
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


class Fronted(World):
    """Two routers that know their public URL only from nginx, and nginx, which gets every request."""

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
    """Return Debian's nginx; where it is not installed these tests are left out, but never in CI."""
    path = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        missing = "nginx is not installed; on Debian: apt-get install --no-install-recommends nginx"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def received(target: Target, name: str) -> list[str]:
    """Return a field of each message that the target got."""
    return [parse_qs(each.body.decode())[name][0] for each in target.requests]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    """Two routers behind nginx."""
    valkey = ValkeyServer()
    world = Fronted(tmp_path_factory.mktemp("world"), valkey)
    yield world
    world.close()
    valkey.close()


def test_a_message_reaches_its_target(world: Fronted) -> None:
    """Path, query and body pass nginx as Twilio signed them, as a form and in the longest of queries."""
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
def test_nothing_else_is_reached_from_outside(world: Fronted, path: str) -> None:
    """Whatever way a path is written, nginx answers 404 for all but webhooks and chat."""
    reply = world.send("GET", path, b"", {})
    assert (reply.status, b"nginx" in reply.body) == (404, True)


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host"])
def test_a_client_cannot_name_another_host(world: Fronted, header: str) -> None:
    """A request that was signed for another host is refused, although it names that host."""
    fields = world.fields(world.flow(ELSEWHERE))
    signature = RequestValidator(TOKEN).compute_signature("https://target.example.com/webhooks/sms", fields)
    given = {"X-Twilio-Signature": signature, header: "target.example.com"}
    assert world.send("POST", "/webhooks/sms", urlencode(fields).encode(), given).status == 403


def test_an_event_of_a_chat_is_there_at_once(world: Fronted) -> None:
    """Nginx passes each event of a chat on at once, without buffering."""
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


def test_what_is_too_large_is_refused_before_the_router(world: Fronted) -> None:
    """A body beyond the router's limit is answered by nginx."""
    reply = world.send("POST", "/webhooks/sms", b"Body=" + b"a" * 140_000, {})
    assert (reply.status, b"nginx" in reply.body) == (413, True)


def test_the_log_has_no_query(world: Fronted) -> None:
    """The access log names the path of a GET webhook, and nothing of its message."""
    path = "/webhooks/sms?" + urlencode(world.fields(world.flow(ELSEWHERE), Body="a-secret-text"))
    signature = sign(path)
    assert world.send("GET", path, b"", {"X-Twilio-Signature": signature}).status == 200
    log = world.folder / "access.log"
    wait_until(lambda: "GET /webhooks/sms 200" in log.read_text(), what="the request is in the log")
    assert "a-secret-text" not in log.read_text()


def test_a_rolling_restart_loses_no_message(world: Fronted) -> None:
    """While one of two routers is dead, nginx gives every message to the other one, also right after its own start."""
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


def test_nothing_of_a_message_is_in_the_logs_when_no_router_lives(world: Fronted) -> None:
    """A webhook that no router takes is answered 502, and its text is in neither of nginx's logs."""
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
