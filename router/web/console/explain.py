"""Explain: where a message would go, and why another flow does not take it."""

from itertools import islice
from typing import Any, Final

from flask import Blueprint, Response, request

from router.errors import NotAMessage
from router.message.channel import ALL
from router.message.inbound import Message
from router.queries.route import explain
from router.queries.why_not import why_not
from router.web.console.desk import Desk, view
from router.web.console.message_filter import read_time
from router.web.console.message_rows import names_in
from router.web.console.page import page
from router.web.request import LANG_MOST

_GIVEN: Final = ("to", "from", "lang", "at", "body", "params", "flow")
_MOST: Final = 4000  # characters of a value
_PARAMETERS: Final = 100
# The maximum number of flows that are searched for an address of each channel.
_FLOWS: Final = 100


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""

    @console.get("/<account_sid>/explain")
    def explained() -> Response:
        given = {name: request.args.get(name, "").strip()[:_MOST] for name in _GIVEN}
        if sid := request.args.get("message", ""):
            given |= _of_message(desk, sid)
        wrong: list[str] = []
        answer: dict[str, Any] | None = None
        reasons: list[str] = []
        if given["to"]:
            at = read_time(given, "at", wrong)
            try:
                form = _form(given)
                if not wrong:
                    sid = view().sid
                    lang = given["lang"][:LANG_MOST]
                    answer = explain(sid, form, desk.store, desk.likelihood, lang=lang, at=at / 1000 if at else None)
                    reasons = why_not(answer, given["flow"], desk.store) if given["flow"] else []
            except NotAMessage as error:
                wrong.append(str(error))
        return page(
            "explain.html",
            given=given,
            presets=_presets(desk),
            answer=answer,
            why_not=reasons,
            names=names_in([*answer["steps"], *reasons], desk.store) if answer else {},
            wrong=" ".join(wrong),
        )


def _presets(desk: Desk) -> list[tuple[str, dict[str, str]]]:
    """Return an example message for each channel, to the account's address on the channel, else to a made-up one."""
    flows = islice(desk.store.flows.walk(view().sid), _FLOWS)
    ours = {flow.channel_type: flow.contact_identity for flow in flows if flow.contact_identity != "*"}
    found = [
        (each.title, {"to": ours.get(each.name, each.ours), "from": each.customer, "body": "Hello"})
        for each in ALL.values()
    ]
    sms = dict(found)["SMS"]
    picture = {"body": "", "params": "NumMedia=1\nMediaContentType0=image/jpeg"}
    return [*found, ("Picture", sms | picture), ("STOP", sms | {"body": "STOP", "params": "OptOutType=STOP"})]


def _form(given: dict[str, str]) -> dict[str, str]:
    form = {"To": given["to"], "From": given["from"] or _customer(given["to"]), "Body": given["body"]}
    for line in given["params"].splitlines()[:_PARAMETERS]:
        name, _, value = line.partition("=")
        if name.strip():
            form[name.strip()] = value.strip()
    return form


def _customer(to: str) -> str:
    """Return a customer on the channel of an address."""
    prefix, colon, _ = to.partition(":")
    return f"{prefix}{colon}+14155550100" if colon else "+14155550100"


def _of_message(desk: Desk, sid: str) -> dict[str, str]:
    """Return the values of a stored message; its sender only if addresses are shown in full."""
    delivery = desk.store.deliveries.get(view().sid, sid[:40])
    if delivery is None or not delivery.raw:
        return {}
    message = Message.unpack(delivery.raw)
    return {
        "to": message.to,
        "from": message.from_ if view().reveals else "",
        "body": message.body[:_MOST],
        "lang": delivery.lang,
    }
