"""The overview and the health page, over a store that the test fills."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from router.message.raw import FORM, Raw
from router.settings import load
from router.store.keys import bucket
from router.store.lanes import new_token
from router.store.processes import Process, Served
from tests.clock import pass_time
from tests.e2e.service import parameters
from tests.valkey import ValkeyServer
from tests.web.console import PASSWORD, signed_in_browser
from tests.web.rest import BASE, ONE, TWO, Rest, rest_over

TARGET = "https://crm.example.com"


class Driver:
    """A signed-in browser, and messages and processes written into the store."""

    def __init__(self, rest: Rest, settings: Path) -> None:
        self.rest = rest
        self.served = Served.of(load({"ROUTER_CONFIG": str(settings)}))
        self.browser = signed_in_browser(rest.app)
        self._count = 0

    def flow(self, account: str = ONE) -> str:
        """Make a flow to the target and return its SID."""
        self._count += 1
        more = {"IntegrationType": "external", "Integration__Url": f"{TARGET}/in"}
        return str(self.rest.create(self._count, user=account, **more)["sid"])

    def queue(self, flow_sid: str, account: str = ONE) -> str:
        """Queue a message in a conversation of its own, unrouted without a flow; return its SID."""
        self._count += 1
        fields = parameters(self._count, "+15557654321", AccountSid=account)
        self.rest.store.lanes.accept(
            token=new_token(), account_sid=account, message_sid=fields["MessageSid"], lane=f"{self._count:024x}",
            disposition="queue" if flow_sid else "unrouted", lease=False, versions=(),
            facts={"raw": Raw("POST", FORM, urlencode(fields).encode()).pack(), "flow": flow_sid},
        )  # fmt: skip
        return fields["MessageSid"]

    def give_up(self, sid: str) -> None:
        """Make the message that was queued last undelivered."""
        self.rest.store.lanes.cancel(ONE, sid, f"{self._count:024x}", "given up")

    def announce(self, pid: int, *shut: tuple[str, str]) -> None:
        """Announce a process, and the targets whose breakers are open in it."""
        process = Process("m", "host", 1, pid, "127.0.0.1:8000", (), self.served.name(), shut)
        self.rest.store.processes.announce(process, None, self.served)

    def page(self, path: str = "", account: str = ONE) -> str:
        """Return a page's text."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.source(path, account))).split())

    def source(self, path: str = "", account: str = ONE) -> str:
        """Return a page's HTML."""
        reply = self.browser.get(f"/console/{account}/{path}", base_url=BASE)
        assert reply.status_code == 200, reply.text
        return reply.text


@pytest.fixture
def driver(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Driver]:
    """A console over an empty store."""
    with rest_over(valkey, tmp_path, ROUTER_ADMIN_PASSWORD=PASSWORD) as rest:
        yield Driver(rest, tmp_path / "router.toml")


def test_the_overview_lists_held_undelivered_and_unrouted_messages(driver: Driver) -> None:
    """The overview counts and links the account's held, undelivered and unrouted messages, but no cancelled ones."""
    flow = driver.flow()
    held, cancelled = driver.queue(flow), driver.queue(flow)
    driver.give_up(driver.queue(flow))
    driver.queue("")
    driver.rest.call("POST", f"/v1/Deliveries/{held}", {"Held": "true"})
    driver.rest.call("POST", f"/v1/Deliveries/{cancelled}", {"Status": "canceled"})
    driver.queue("", TWO)
    page = driver.page()
    assert "Needs attention" in page
    for part in ("1 held, the first of them now", "(look) 1 undelivered", "(look) 1 unrouted"):
        assert part in page, part
    assert "4 stored 1 waiting 1 undelivered 1 unrouted 1 flow" in page
    assert "Accepted: 4" in page
    assert f"/console/{ONE}/messages?status=held" in driver.source()
    assert f"/console/{ONE}/dead-letters" in driver.source()
    found = driver.source("messages?status=held")
    assert held in found
    assert cancelled not in found
    assert TWO not in driver.source().replace("switch", "")


def test_a_target_that_does_not_answer_is_shown_by_every_process(driver: Driver) -> None:
    """A page of any process says how many processes see an account's target as down, and names no other account's."""
    sid = driver.queue(driver.flow())
    driver.announce(1, (ONE, TARGET), (TWO, "https://of-two.example.com"))
    driver.announce(2)
    for path in ("", "health"):
        page = driver.page(path)
        assert f"{TARGET} does not answer (seen by 1 of 2 processes)" in page
        assert "of-two" not in page
        assert TARGET not in driver.page(path, TWO)
    assert f"its target {TARGET} does not answer" in driver.page(f"messages/{sid}")
    driver.announce(2, (ONE, TARGET))
    assert "All recently used targets answer" not in driver.page("health")


def test_an_overdue_conversation_is_the_accounts_own(driver: Driver) -> None:
    """The overview shows how long the account's own oldest conversation is overdue, not another account's."""
    own, others = driver.flow(), driver.flow(TWO)
    driver.queue(others, TWO)
    call = driver.rest.store.changes._client.call
    call("SET", "probe", 1)
    pass_time(call, bucket(ONE), 400)
    driver.queue(own)
    assert "has been due for" not in driver.page()
    pass_time(call, bucket(ONE), 100)
    page = driver.page()
    assert re.search(rf"a conversation of {own[:6]}…{own[-4:]} has been due for 10\d s", page), page
    assert f"a conversation of {others[:6]}…{others[-4:]} has been due for 50" in driver.page(account=TWO)
