"""`router simulate web`: sends messages as a visitor of a website, with the visitors' API, and shows the answers."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from router.cli.here import Here
from router.cli.http import NoAnswer, exchange
from router.cli.output import Facts, print_facts, print_json
from router.cli.running import base_url
from router.cli.send.content import Content
from router.errors import RouterError
from router.flow.flex_flow import FlexFlow, address_sid
from router.message.address import canonical
from router.message.channel import WEB
from router.sid import is_sid

# The number of newest flows that are searched for a web address.
_FLOWS: Final = 200
_SHOWN: Final = 10
_ON_ITS_WAY: Final = ("queued", "sending")
_POLL_EVERY: Final = 0.1
_SAMPLES: Final = {"email": "ana@example.com", "tel": "+14155550100"}
_NAME: Final = "Ana"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message of the visitor, with its answer, its replies and the state of its delivery."""

    body: str
    status: int
    answer: Mapping[str, Any]
    replies: tuple[str, ...]
    delivery: str

    @property
    def good(self) -> bool:
        """Whether it was accepted and, if its delivery is known, delivered."""
        return self.status in (200, 201) and self.delivery in ("", "delivered")


@dataclass(slots=True)
class VisitorCalls:
    """A visitor's requests to a router."""

    base: str
    token: str = field(default="", repr=False)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Send a request; return status and JSON. Raises RouterError when nothing answers."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        content = None if body is None else json.dumps(body).encode()
        try:
            answered = exchange(method, f"{self.base}/chat/{path}", content, headers)
        except NoAnswer as error:
            raise RouterError(f"{error}: start the router with `router run`, or set its URL with --url") from None
        try:
            return answered.status, dict(json.loads(answered.body or b"{}"))
        except ValueError:
            raise RouterError(
                f"{self.base} answered {answered.status}, but not with JSON: --url must be the base URL of a router"
            ) from None

    def good(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request; return its JSON, or raise RouterError with the error in the answer."""
        status, answer = self.ask(method, path, body)
        if status not in (200, 201):
            raise RouterError(f"the router answered {status}: {answer.get('message', '')}")
        return answer


def simulate_web(  # noqa: PLR0913 - what is sent, where to, how often, and how it is shown
    here: Here, content: Content, *, url: str, count: int, wait: float, as_json: bool
) -> NoReturn:
    """Start a chat as a visitor, send messages, and show the answers; exit with status 1 after a failure."""
    calls = VisitorCalls((url or base_url(here.settings)).rstrip("/"))
    body = "Hello" if content.body is None else content.body
    address = content.to if is_sid(content.to, "IG") else address_sid(_flow(here, content.to))
    described = calls.good("GET", f"address?address={address}")
    values = dict(content.params)
    language = values.pop("language", None)
    form = _samples(described["form"], content.from_) | values
    began = calls.good("POST", "sessions", {"address": address, "form": form, "language": language})
    calls.token = began["token"]
    exchanges = [_send(here, calls, f"{body} {n + 1}" if count > 1 else body, wait) for n in range(count)]
    for each in exchanges:
        if as_json:
            print_json(_resource(each, address, began))
        else:
            print_facts(_facts(each, address, began))
    sys.exit(0 if all(each.good for each in exchanges) else 1)


def _send(here: Here, calls: VisitorCalls, body: str, wait: float) -> Exchange:
    status, answer = calls.ask("POST", "messages", {"body": body})
    if status not in (200, 201):
        return Exchange(body, status, answer, (), "")
    end, store = time.monotonic() + wait, here.own_store
    account_sid = here.account.sid
    while True:
        state = store.deliveries.state(account_sid, answer["sid"]) if store else ""
        news = calls.good("GET", f"events?wait=0&after={answer['index']}")
        replies = tuple(each["body"] for each in news["messages"] if not each["own"])
        if (replies and state not in _ON_ITS_WAY) or (state and state not in _ON_ITS_WAY) or time.monotonic() >= end:
            return Exchange(body, status, answer, replies, state)
        time.sleep(_POLL_EVERY)


def _samples(fields: Sequence[Mapping[str, Any]], name: str) -> dict[str, str]:
    """Return sample values for the fields of a form."""
    filled = {
        each["name"]: each["options"][0] if each["options"] else _SAMPLES.get(each["type"], name or _NAME)
        for each in fields
    }
    return {"friendlyName": name or _NAME} | filled


def _flow(here: Here, to: str) -> FlexFlow:
    """Return the flow of the web address `to`, or the only web flow.

    Raises:
        RouterError: there is none, or there are several.
    """
    wanted = canonical(to, WEB) if to else ""
    flows = here.store.flows.page(here.account.sid, 0, _FLOWS)
    found = [each for each in flows if each.channel_type == WEB and each.enabled]
    named = [each for each in found if wanted in ("", each.contact_identity)]
    if len(named) == 1 or (wanted and named):
        return named[0]
    if not named:
        raise RouterError(f"no enabled web flow{f' has the address {wanted}' if wanted else ''}: docs/web-chat.md")
    known = ", ".join(f"{address_sid(each)} {each.friendly_name!r}" for each in named[:_SHOWN])
    raise RouterError(f"which address? There are several web flows; name one with --to: {known}")


def _resource(exchange: Exchange, address: str, began: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "conversation_sid": began["conversation_sid"],
        "identity": began["identity"],
        "body": exchange.body,
        "status": exchange.status,
        "sid": exchange.answer.get("sid"),
        "replies": list(exchange.replies),
        "delivery": exchange.delivery or None,
    }


def _facts(exchange: Exchange, address: str, began: Mapping[str, Any]) -> Facts:
    facts: Facts = [
        ("Sent", [f"web  web:{began['identity']} → {address}", f"“{exchange.body}”"]),
        ("Chat", str(began["conversation_sid"])),
    ]
    if exchange.status not in (200, 201):
        return [*facts, ("Refused", f"{exchange.status}: {exchange.answer.get('message', '')}")]
    facts.append(("Answer", list(exchange.replies) or ["none so far"]))
    if exchange.delivery:
        facts.append(("Delivery", exchange.delivery))
    return [*facts, ("SID", str(exchange.answer["sid"]))]
