"""`/v1/Conversations`, and the same under `/v1/Services/{IS…}`: the chats of this router.

https://www.twilio.com/docs/conversations/api/conversation-resource
"""

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Response, request

from router.chat.ending import Ending
from router.chat.resource import conversation, participant_conversation, participants, seconds
from router.sid import new_sid
from router.store.chat_record import Chat
from router.web.conversations.finding import Asked, Finder, now_ms, read_attributes, read_text
from router.web.errors import ApiError, invalid
from router.web.form import read_form
from router.web.paging import json_response, no_content, page_body, read_page, seal, unseal

PAGE_MOST: Final = 100
_STATES: Final = ("active", "inactive", "closed")
_ONCE: Final = ("FriendlyName", "UniqueName", "Attributes", "State", "Timers.Inactive", "Timers.Closed")
PREFIXES: Final = ("/v1", "/v1/Services/<service>")


def add_rule(blueprint: Blueprint, rule: str, method: str, view: Callable[..., Response]) -> None:
    """Route a view of Conversations under both prefixes; it gets the service, "" for none."""
    for prefix in PREFIXES:
        defaults = {} if "<service>" in prefix else {"service": ""}
        name = f"{method} {prefix}{rule}".replace(".", "")
        blueprint.add_url_rule(f"{prefix}{rule}", name, view, methods=[method], defaults=defaults)


def blueprint(finder: Finder, ending: Ending) -> Blueprint:
    """Return the routes of Conversations."""
    conversations = Blueprint("conversations", __name__)

    def page(service: str) -> Response:
        return json_response(_page(finder, finder.asked(service)))

    def create(service: str) -> Response:
        asked = finder.asked(service)
        return json_response(conversation(_create(finder, asked), asked.base), 201)

    def fetch(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        return json_response(conversation(chat, asked.base))

    def update(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        changed = _change(finder, chat)
        if changed.untold:
            ending.ended(changed.account_sid, changed.sid)
        return json_response(conversation(changed, asked.base))

    def delete(service: str, name: str) -> Response:
        _, chat = finder.chat(service, name)
        finder.store.chats.erase(chat)
        return no_content()

    def of_participant(service: str) -> Response:
        return json_response(_of_participant(finder, finder.asked(service)))

    add_rule(conversations, "/Conversations", "GET", page)
    add_rule(conversations, "/Conversations", "POST", create)
    add_rule(conversations, "/Conversations/<name>", "GET", fetch)
    add_rule(conversations, "/Conversations/<name>", "POST", update)
    add_rule(conversations, "/Conversations/<name>", "DELETE", delete)
    add_rule(conversations, "/ParticipantConversations", "GET", of_participant)
    return conversations


def _create(finder: Finder, asked: Asked) -> Chat:
    """Create a chat without a visitor, to which agents and bots may write."""
    now = now_ms()
    chat = Chat(
        account_sid=asked.account.sid,
        sid=new_sid("CH"),
        chat_service_sid=asked.service,
        created=now,
        updated=now,
        **({"state": "active"} | _values(read_form(request, _ONCE))),
    )
    what, sid = finder.store.chats.begin(chat)
    if what == "taken":
        raise _taken(chat.unique_name, sid)
    return _reread(finder, chat)


def _change(finder: Finder, chat: Chat) -> Chat:
    values = _values(read_form(request, _ONCE))
    if values.get("state") == "closed" and chat.state != "closed":
        values["closed_by"] = "agent"
    result = finder.store.chats.change(chat, values, event={"event": "state"} if "state" in values else None)
    if result == "taken":
        raise _taken(str(values["unique_name"]), "another chat")
    if result == "closed":
        raise ApiError(400, 50438, "State: a closed chat cannot be opened again; begin another one")
    return _reread(finder, chat)


def _reread(finder: Finder, chat: Chat) -> Chat:
    """Return a chat as it is after a change."""
    return finder.store.chats.get(chat.account_sid, chat.sid) or chat


def _taken(name: str, sid: str) -> ApiError:
    return ApiError(409, 50353, f"UniqueName: {name!r} is already the name of {sid}, which is open")


def _values(form: Any) -> dict[str, Any]:
    """Parse the parameters with which a conversation is created or changed."""
    values: dict[str, Any] = {}
    for name, field in (("FriendlyName", "friendly_name"), ("UniqueName", "unique_name")):
        if name in form:
            values[field] = read_text(form, name)
    if (attributes := read_attributes(form)) is not None:
        values["attributes"] = attributes
    if state := form.get("State", ""):
        if state not in _STATES:
            raise invalid("State", f"{state[:40]!r} is not one of {', '.join(_STATES)}")
        values["state"] = state
    for name, field in (("Timers.Inactive", "timer_inactive"), ("Timers.Closed", "timer_closed")):
        if name in form:
            values[field] = _duration(form, name)
    if "timer_closed" in values:
        values["idle"] = seconds(values["timer_closed"]) * 1000 if values["timer_closed"] else 0
    return values


def _duration(form: Any, name: str) -> str:
    text: str = form[name]
    try:
        if text and seconds(text) < 60:  # noqa: PLR2004 - a minute
            raise invalid(name, "must be at least a minute, PT1M")
    except ValueError as error:
        raise invalid(name, str(error)) from None
    return text


def _page(finder: Finder, asked: Asked) -> dict[str, Any]:
    wanted, state = read_page(request.args, most=PAGE_MOST, cut=True), request.args.get("State", "")
    if state and state not in _STATES:
        raise invalid("State", f"{state[:40]!r} is not one of {', '.join(_STATES)}")
    scope = f"Conversations {asked.account.sid} {asked.service} {state}"
    cursor = unseal(asked.account, scope, wanted.token)
    found = []
    for at, chat in finder.store.chats.newest(asked.account.sid, before=float(cursor) if cursor else None):
        if finder.is_of(asked, chat) and state in ("", chat.state):
            found.append((at, chat))
        if len(found) > wanted.size:
            break
    shown = found[: wanted.size]
    return page_body(
        "conversations",
        [conversation(chat, asked.base) for _, chat in shown],
        wanted,
        url=f"{asked.base}/Conversations",
        filters={"State": state} if state else {},
        next_token=seal(asked.account, scope, f"{shown[-1][0]:.0f}") if len(found) > len(shown) else "",
        previous_token="",
    )


def _of_participant(finder: Finder, asked: Asked) -> dict[str, Any]:
    identity = request.args.get("Identity", "")
    wanted = read_page(request.args, most=PAGE_MOST, cut=True)
    start = wanted.number * wanted.size
    found = finder.store.chats.of_identity(asked.account.sid, identity, start, wanted.size + 1)
    if not identity:
        raise invalid("Identity", "is required; web chats have no Address")
    shown = [
        (chat, each)
        for chat in found[: wanted.size]
        if finder.is_of(asked, chat)
        for each in participants(chat)
        if each.identity == identity
    ]
    return page_body(
        "conversations",
        [participant_conversation(chat, each, asked.base) for chat, each in shown],
        wanted,
        url=f"{asked.base}/ParticipantConversations",
        filters={"Identity": identity},
        next_token=seal(asked.account, "ParticipantConversations", "more") if len(found) > wanted.size else "",
        previous_token="",
    )
