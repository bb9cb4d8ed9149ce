"""`router run --tunnel --connect` from start to end, with real processes, and fakes of ngrok and Twilio."""

import base64
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from tests.e2e.commands import FLOWS, invoke
from tests.e2e.ngrok_agent import NgrokAgent
from tests.e2e.running import ROUTER, RunningRouter
from tests.e2e.service import ACCOUNT, TOKEN, parameters, sid
from tests.e2e.terminal import Terminal, kill_all
from tests.e2e.twilio_rest import TwilioRest
from tests.waiting import wait_until

NUMBER = "+15005550006"  # one flow of `FLOWS` echoes it
FIRST = {
    "sms_url": "https://demo.twilio.com/welcome/sms/reply",
    "sms_method": "GET",
    "sms_fallback_url": "https://example.com/fallback",
    "sms_fallback_method": "GET",
    "sms_application_sid": "AP" + "1" * 32,
}


class Laptop:
    """A folder with a router, an ngrok agent and a Twilio account with one number."""

    def __init__(self, folder: Path, agent: NgrokAgent, twilio: TwilioRest) -> None:
        self.folder = folder
        self.agent = agent
        self.number = twilio.number(NUMBER, **FIRST)
        self.environ = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "ROUTER_TWILIO_API_URL": twilio.url,
        }
        self.router: RunningRouter | None = None
        self._sent = 0

    def run(self, *options: str) -> RunningRouter:
        """Start `router run`."""
        self.router = RunningRouter(self.folder, *options, **self.environ)
        return self.router

    def wait_for_output(self, text: str) -> None:
        """Wait until the router has printed a text."""
        router = self.router
        assert router is not None
        wait_until(lambda: text in router.output or router.process.poll() is not None, what=text, within=30)
        assert text in router.output, router.output

    def apply_flows(self) -> None:
        """Run `router flows apply`, because a real account begins without flows."""
        applied = invoke("flows", "apply", "-", given=FLOWS, ROUTER_DATA_DIR=str(self.folder / "var"), **self.environ)
        assert applied.exit_code == 0, applied.output

    def text(self) -> None:
        """Send a message to the number's present webhook, as Twilio does, and wait until it is delivered."""
        self._sent += 1
        url = self.number["sms_url"].partition("#")[0]
        fields = parameters(self._sent, "+15550000002", To=NUMBER)
        signature = RequestValidator(TOKEN).compute_signature(url, fields)
        headers = {"X-Twilio-Signature": signature, "User-Agent": "TwilioProxy/1.1"}
        request = urllib.request.Request(url, urlencode(fields).encode(), headers)  # noqa: S310 - an address of ours
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - the same
            assert answer.status == 200
        wait_until(lambda: self.delivery(sid(self._sent))["status"] == "delivered", what="it is delivered")

    def delivery(self, message_sid: str) -> Any:
        """Fetch a delivery from the router itself."""
        assert self.router is not None
        basic = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        url = f"http://127.0.0.1:{self.router.port}/v1/Deliveries/{message_sid}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {basic}"})
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - the same
            return json.load(answer)

    def points_to(self, base: str) -> bool:
        """Say whether the number's webhook and fallback point to a public base URL."""
        url, fallback = self.number["sms_url"], self.number["sms_fallback_url"]
        return bool(url.startswith(f"{base}/webhooks/sms#")) and bool(fallback == f"{base}/webhooks/sms")

    @property
    def as_before(self) -> bool:
        """Say whether the number has its first webhook settings."""
        return {name: self.number[name] for name in FIRST} == FIRST


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """A laptop whose processes end with the test."""
    with NgrokAgent() as agent, TwilioRest(ACCOUNT, TOKEN) as twilio:
        made = Laptop(tmp_path, agent, twilio)
        yield made
        if made.router is not None:
            made.router.end()


def test_a_new_run_restores_the_webhook_after_a_power_cut(laptop: Laptop) -> None:
    """The number follows the tunnel's address; after a power cut the next run restores it, then connects it again."""
    agent, both = laptop.agent, ("--tunnel", f"--ngrok-api={laptop.agent.url}", f"--connect={NUMBER}")
    router = laptop.run(*both).up()
    laptop.wait_for_output("Connected.")
    assert laptop.points_to(agent.public_url())
    assert FIRST["sms_url"] in router.output
    laptop.apply_flows()
    laptop.text()

    agent.change_addresses()
    wait_until(lambda: laptop.points_to(agent.public_url()), what="the number points to the new address")
    laptop.text()

    kill_all([router.pid])
    router.process.wait()
    assert laptop.points_to(agent.public_url())

    laptop.run(*both).up()
    laptop.wait_for_output("Connected.")
    assert f"{NUMBER} is restored" in laptop.router.output  # type: ignore[union-attr]
    laptop.text()

    ended = Terminal(laptop.folder, "disconnect", **laptop.environ)
    assert ended.wait() == 0
    assert laptop.as_before, ended.output


def test_run_starts_ngrok_if_none_runs(laptop: Laptop, redis_url: str) -> None:
    """`router run --tunnel` starts ngrok without any secret of the router in its environment or arguments."""
    program = laptop.folder / "bin" / "ngrok"
    program.parent.mkdir()
    agent = Path(__file__).with_name("ngrok_agent.py")
    seen = laptop.folder / "seen"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {seen}; env >> {seen}; exec {ROUTER.parent}/python {agent} "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    laptop.environ["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    laptop.environ["ROUTER_REDIS_URL"] = redis_url
    laptop.environ |= {"NGROK_AUTHTOKEN": "a-secret", "XDG_CONFIG_HOME": str(laptop.folder)}
    router = laptop.run("--tunnel", f"--connect={NUMBER}").up()
    laptop.wait_for_output("Connected.")
    laptop.apply_flows()
    laptop.text()
    arguments, *environ = seen.read_text().splitlines()
    assert arguments == "start --none --log stdout"
    assert "NGROK_AUTHTOKEN=a-secret" in environ
    assert TOKEN not in seen.read_text()
    router.interrupt()
    assert router.process.wait(60) == 0
    assert laptop.as_before
