"""Every page and form of the console, found in the application itself, with input that no browser would send."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import pytest

from router.flow.flex_flow import FIELDS
from router.message.raw import FORM, Raw
from router.store.lanes import new_token
from tests.e2e.service import parameters
from tests.valkey import ValkeyServer
from tests.web.console import PASSWORD, SAME_ORIGIN, signed_in_browser
from tests.web.rest import BASE, ONE, TWO, Rest, rest_over

SCRIPT = "<script>alert(1)</script>"
VALUES = (
    "",
    " ",
    SCRIPT,
    "x" * 5000,
    "\u202e\u0000\ud7ff",
    "-1",
    "9" * 40,
    "true",
    "{{ 7*7 }}",
    "FO" + "f" * 32,
    "..//",
)
NAMES = (
    *("q", "page", "before", "after", "status", "from", "to", "flow", "channel", "language", "target", "error", "like"),
    *(
        "identity",
        "Language",
        "Preference",
        "Alias",
        "Address",
        "FlexFlowSid",
        "Status",
        "typed",
        "body",
        "params",
        "at",
    ),
    *(
        "do",
        "route",
        "until",
        "which",
        "rate",
        "sid",
        "back",
        "reveal",
        "version",
        "switch",
        "percent",
        "notice",
        "result",
    ),
    *("at", "why", "message", "lang", "ended", "next", *(each.wire for each in FIELDS)),
)
# These start and end sessions; test_console_people.py tests them.
SESSIONS = ("console.sign_in", "console.sign_in_with", "console.sign_out", "console.file", "console.first")

# Forms without a field that still act.
BUTTONS = ("/delete", "/end", "/stop", "/reveal", "/replay")


class Driver:
    """A signed-in browser, with a flow, a message and a chat for each of two accounts."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest
        self.browser = signed_in_browser(rest.app)
        self.sids = {account: self._fill(number, account) for number, account in enumerate((ONE, TWO), 1)}

    def _fill(self, number: int, account: str) -> dict[str, str]:
        hook = {"IntegrationType": "external", "Integration__Url": "https://example.com/in"}
        flow = self.rest.create(number, user=account, **hook)["sid"]
        web = self.rest.create(number + 10, user=account, ChannelType="web", ContactIdentity="web:shop", **hook)["sid"]
        asked = {"AddressSid": f"IG{web[2:]}", "Identity": "ana"}
        chat = self.rest.call("POST", "/v2/WebChats", asked, user=account).json["conversation_sid"]
        fields = parameters(number, "+15557654321", AccountSid=account)
        self.rest.store.lanes.accept(
            token=new_token(), account_sid=account, message_sid=fields["MessageSid"], lane=f"{number:024x}",
            disposition="queue", lease=False, versions=(),
            facts={"raw": Raw("POST", FORM, urlencode(fields).encode()).pack(), "flow": flow},
        )  # fmt: skip
        return {"addresses": flow, "migration": flow, "messages": fields["MessageSid"], "chats": chat}

    def rules(self, method: str) -> list[str]:
        """Return the paths of all pages (GET) or forms (POST), as Flask writes them."""
        found = [
            each.rule
            for each in self.rest.app.url_map.iter_rules()
            if each.endpoint.startswith("console.") and each.endpoint not in SESSIONS and method in (each.methods or ())
        ]
        assert len(found) > 10
        return [each for each in found if "<path:" not in each]

    def path(self, rule: str, of: str = ONE) -> str:
        """Fill in a path below the first account with the SIDs of an account."""
        kind = next((each for each in self.sids[of] if f"/{each}/<sid>" in rule), "")
        return rule.replace("<account_sid>", ONE).replace("<sid>", self.sids[of].get(kind, "none"))

    def state(self) -> dict[bytes, bytes]:
        """Return all that the store holds, except sessions and clocks."""
        return {key: value for key, value in self.rest.written().items() if not key.startswith((b"session", b"clock"))}


@pytest.fixture
def driver(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Driver]:
    """A console with two accounts."""
    with rest_over(valkey, tmp_path, ROUTER_ADMIN_PASSWORD=PASSWORD) as rest:
        yield Driver(rest)


def test_no_query_makes_a_page_fail(driver: Driver) -> None:
    """With any value in each query parameter a page answers, changes nothing, and shows no markup of the query."""
    before = driver.state()
    for rule, value in product(driver.rules("GET"), VALUES):
        reply = driver.browser.get(driver.path(rule), base_url=BASE, query_string=dict.fromkeys(NAMES, value))
        assert reply.status_code in {200, 303, 400, 404}, (rule, value, reply.text)
        assert SCRIPT not in reply.text, rule
    assert driver.state() == before


def test_no_input_makes_a_form_fail(driver: Driver) -> None:
    """With any value in each field a form answers, and shows no markup of the input."""
    rules = sorted(driver.rules("POST"), key=lambda rule: rule.endswith("/delete"))
    for rule, value in product(rules, VALUES):
        data = urlencode(dict.fromkeys(NAMES, value))
        reply = driver.browser.post(driver.path(rule), base_url=BASE, data=data, content_type=FORM, headers=SAME_ORIGIN)
        assert reply.status_code in {200, 303, 400, 404, 409}, (rule, value, reply.text)
        assert SCRIPT not in reply.text, rule


def test_an_empty_or_too_large_form_changes_nothing(driver: Driver) -> None:
    """A form without fields, or of 3 MB, changes nothing, except forms that are only a button."""
    before = driver.state()
    for rule in driver.rules("POST"):
        if rule.endswith(BUTTONS):
            continue
        for data in ({}, {"body": "x" * 3_000_000}):
            reply = driver.browser.post(driver.path(rule), base_url=BASE, data=data, headers=SAME_ORIGIN)
            assert reply.status_code in {200, 400, 404, 409, 413}, (rule, reply.status_code)
    assert driver.state() == before


def test_a_sid_of_another_account_is_404_on_every_page(driver: Driver) -> None:
    """A SID of another account is 404 on every page and form, and nothing is changed."""
    before = driver.state()
    for method in ("GET", "POST"):
        for rule in (each for each in driver.rules(method) if "<sid>" in each):
            path, data = driver.path(rule, TWO), {"do": "hold", "switch": "pause"}
            reply = driver.browser.open(path, method=method, base_url=BASE, data=data, headers=SAME_ORIGIN)
            assert reply.status_code == 404, rule
    assert driver.state() == before
