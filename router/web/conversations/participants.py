"""`/v1/Conversations/{CH…}/Participants` and `/Webhooks`: the participants of a chat, and the webhook of its flow.

https://www.twilio.com/docs/conversations/api/conversation-participant-resource
"""

from dataclasses import replace
from typing import Any, Final

from flask import Blueprint, Response, request

from router.chat.ending import EVENT, asks
from router.chat.resource import participant, participants
from router.chat.session import IDENTITY_MOST
from router.iso_time import utc
from router.sid import new_sid
from router.store.chat_record import Chat, Participant
from router.web.conversations.conversations import PAGE_MOST, add_rule
from router.web.conversations.finding import Asked, Finder, now_ms, read_attributes, read_text
from router.web.errors import ApiError, invalid, not_found
from router.web.form import read_form
from router.web.number import whole_number
from router.web.paging import json_response, no_content, page_body, read_page

_ONCE: Final = ("Identity", "Attributes", "LastReadMessageIndex", "Typing", "MessagingBinding.Address")
# Without the visitor. Limited because each request of the visitor reads the chat's record.
_MOST: Final = 50
_INDEX_DIGITS: Final = 9  # more messages than a chat has


def blueprint(finder: Finder) -> Blueprint:
    """Return the routes of participants and webhooks."""
    made = Blueprint("conversation_participants", __name__)
    _add_participants(made, finder)
    _add_webhooks(made, finder)
    return made


def _add_participants(made: Blueprint, finder: Finder) -> None:
    def page(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        shown = [participant(chat, each, asked.base) for each in participants(chat)]
        return json_response(_list("participants", shown, f"{asked.base}/Conversations/{chat.sid}/Participants"))

    def create(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        return json_response(participant(chat, _create(finder, chat), asked.base), 201)

    def fetch(service: str, name: str, who: str) -> Response:
        asked, chat = finder.chat(service, name)
        return json_response(participant(chat, _find(chat, who), asked.base))

    def update(service: str, name: str, who: str) -> Response:
        asked, chat = finder.chat(service, name)
        return json_response(participant(chat, _change(finder, chat, _find(chat, who)), asked.base))

    def delete(service: str, name: str, who: str) -> Response:
        _, chat = finder.chat(service, name)
        finder.store.chats.remove_participant(chat, _find(chat, who).sid)
        return no_content()

    for rule, method, view in (
        ("", "GET", page),
        ("", "POST", create),
        ("/<who>", "GET", fetch),
        ("/<who>", "POST", update),
        ("/<who>", "DELETE", delete),
    ):
        add_rule(made, f"/Conversations/<name>/Participants{rule}", method, view)


def _find(chat: Chat, who: str) -> Participant:
    """Find a participant by SID or identity."""
    found = next((each for each in participants(chat) if who in (each.sid, each.identity)), None)
    if found is None:
        raise not_found(request.path)
    return found


def _create(finder: Finder, chat: Chat) -> Participant:
    form = read_form(request, _ONCE)
    if form.get("MessagingBinding.Address"):
        raise invalid("MessagingBinding.Address", "the participants of a web chat have only an Identity")
    identity = read_text(form, "Identity", IDENTITY_MOST)
    if not identity:
        raise invalid("Identity", "is required")
    if any(each.identity == identity for each in participants(chat)):
        raise ApiError(409, 50433, f"Identity: {identity!r} already takes part in {chat.sid}")
    if len(chat.participants) >= _MOST:
        raise ApiError(400, 50439, f"at most {_MOST} participants are allowed besides the visitor")
    now = now_ms()
    new = Participant(new_sid("MB"), identity, read_attributes(form) or "{}", created=now, updated=now)
    finder.store.chats.put_participant(chat, new)
    return new


def _change(finder: Finder, chat: Chat, current: Participant) -> Participant:
    form, now = read_form(request, _ONCE), now_ms()
    changed = replace(current, updated=now)
    if (attributes := read_attributes(form)) is not None:
        changed = replace(changed, attributes=attributes)
    if text := form.get("LastReadMessageIndex", ""):
        index = whole_number(text, _INDEX_DIGITS)
        if index is None:
            raise invalid("LastReadMessageIndex", f"{text[:20]!r} is not the index of a message")
        changed = replace(changed, read=index, read_at=now)
    chats = finder.store.chats
    if typing := form.get("Typing", ""):
        if typing != "true":
            raise invalid("Typing", f"{typing[:20]!r} is not true; leave it out when the agent is not typing")
        chats.tell(chat, {"event": "typing", "author": current.identity})
    if current.sid == chat.participant_sid:
        values: dict[str, str | int] = {"participant_attributes": changed.attributes}
        if changed.read_at == now:
            values |= {"read_visitor": changed.read, "read_visitor_at": now}
        chats.change(chat, values, active=False)
        return changed
    chats.put_participant(chat, changed)
    if changed.read > chat.read_agent:
        chats.change(chat, {"read_agent": changed.read, "read_agent_at": now}, event={"event": "read"}, active=False)
    return changed


def _add_webhooks(made: Blueprint, finder: Finder) -> None:
    def page(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        url = f"{asked.base}/Conversations/{chat.sid}/Webhooks"
        return json_response(_list("webhooks", _webhooks(finder, asked, chat), url))

    def fetch(service: str, name: str, sid: str) -> Response:
        asked, chat = finder.chat(service, name)
        found = [each for each in _webhooks(finder, asked, chat) if each["sid"] == sid]
        if not found:
            raise not_found(request.path)
        return json_response(found[0])

    add_rule(made, "/Conversations/<name>/Webhooks", "GET", page)
    add_rule(made, "/Conversations/<name>/Webhooks/<sid>", "GET", fetch)


def _webhooks(finder: Finder, asked: Asked, chat: Chat) -> list[dict[str, Any]]:
    """Return the webhook of a chat's flow, as a resource of the chat."""
    flow = finder.store.routing.get(chat.account_sid, chat.flow_sid) if chat.flow_sid else None
    if flow is None or not flow.integration.url:
        return []
    sid = f"WH{flow.sid[2:]}"
    return [
        {
            "sid": sid,
            "account_sid": chat.account_sid,
            "conversation_sid": chat.sid,
            "target": "webhook",
            "url": f"{asked.base}/Conversations/{chat.sid}/Webhooks/{sid}",
            "configuration": {
                "url": flow.integration.url,
                "method": "POST",
                "filters": ["onMessageAdded", *([EVENT] if asks(flow) else [])],
            },
            "date_created": utc(chat.created),
            "date_updated": utc(chat.created),
        }
    ]


def _list(key: str, items: list[dict[str, Any]], url: str) -> dict[str, Any]:
    wanted = read_page(request.args, most=PAGE_MOST, cut=True)
    start = wanted.number * wanted.size
    return page_body(
        key,
        items[start : start + wanted.size],
        wanted,
        url=url,
        filters={},
        next_token="more" if len(items) > start + wanted.size else "",
        previous_token="",
    )
