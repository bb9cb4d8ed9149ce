"""`/v1/Conversations/{CH…}/Messages`: the messages of a chat; agents send theirs here.

https://www.twilio.com/docs/conversations/api/conversation-message-resource
"""

from dataclasses import replace
from typing import Any, Final

from flask import Blueprint, Response, request

from router.chat.elsewhere import place_at_twilio
from router.chat.limit import BODY_MOST
from router.chat.resource import message, participants
from router.chat.sending import Sending
from router.sid import is_sid, new_sid
from router.store.chat_record import Chat, ChatMessage
from router.web.conversations.conversations import PAGE_MOST, add_rule
from router.web.conversations.finding import Asked, Finder, now_ms, read_attributes, read_text
from router.web.errors import ApiError, invalid, not_found
from router.web.form import read_form
from router.web.paging import json_response, no_content, page_body, read_page, seal, unseal

_ONCE: Final = ("Author", "Body", "Attributes", "DateCreated", "DateUpdated")
_SYSTEM: Final = "system"  # Twilio's default author
_ATTRIBUTES_MOST: Final = 4 * 1024
_FILES: Final = ("MediaSid", "ContentSid")


def blueprint(finder: Finder, sending: Sending) -> Blueprint:
    """Return the routes of messages."""
    messages = Blueprint("conversation_messages", __name__)

    def page(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        return json_response(_page(finder, asked, chat))

    def create(service: str, name: str) -> Response:
        asked, chat = finder.chat(service, name)
        index, written = _write(finder, sending, chat)
        return json_response(message(chat, index, written, asked.base), 201)

    def fetch(service: str, name: str, sid: str) -> Response:
        asked, chat = finder.chat(service, name)
        return json_response(message(chat, *_find(finder, chat, sid), asked.base))

    def update(service: str, name: str, sid: str) -> Response:
        asked, chat = finder.chat(service, name)
        index, found = _find(finder, chat, sid)
        changed = _changed(found)
        if not finder.store.chats.edit(chat, index, sid, changed):
            raise not_found(request.path)
        return json_response(message(chat, index, changed, asked.base))

    def delete(service: str, name: str, sid: str) -> Response:
        _, chat = finder.chat(service, name)
        index, _ = _find(finder, chat, sid)
        finder.store.chats.edit(chat, index, sid, None)
        return no_content()

    add_rule(messages, "/Conversations/<name>/Messages", "GET", page)
    add_rule(messages, "/Conversations/<name>/Messages", "POST", create)
    add_rule(messages, "/Conversations/<name>/Messages/<sid>", "GET", fetch)
    add_rule(messages, "/Conversations/<name>/Messages/<sid>", "POST", update)
    add_rule(messages, "/Conversations/<name>/Messages/<sid>", "DELETE", delete)
    return messages


def _write(finder: Finder, sending: Sending, chat: Chat) -> tuple[int, ChatMessage]:
    """Append an agent's message, or accept a visitor's message from a web chat server."""
    form = read_form(request, _ONCE)
    body, attributes = _body(form), _attributes(form) or "{}"
    author = read_text(form, "Author") or _SYSTEM
    calls_webhooks = request.headers.get("X-Twilio-Webhook-Enabled", "").lower() == "true"
    if calls_webhooks and chat.address and author == chat.identity:
        sent = sending.send(chat, body, "")
        if sent.refusal:
            raise _refused(sent.refusal)
        return sent.index, ChatMessage(sent.sid, author, body, sent.date, "visitor")
    if place := place_at_twilio(chat, finder.store):
        raise ApiError(
            409,
            20409,
            f"{chat.sid} is a Conversation at Twilio, whose agents and Studio flow would not see this message. "
            f"Post it to {place}/Messages: the router shows it to the visitor",
        )
    participant_sid = next((each.sid for each in participants(chat) if each.identity == author), "")
    side = "visitor" if author == chat.identity and chat.identity else "agent"
    written = ChatMessage(
        new_sid("IM"), author, body, now_ms(), side, attributes=attributes, participant_sid=participant_sid
    )
    index = finder.store.chats.post(chat, written)
    if index < 0:
        raise _refused("gone" if index == -1 else "closed")
    return index, written


def _changed(current: ChatMessage) -> ChatMessage:
    """Return a message with the changes of the form. Parameters that are not in the form keep their values."""
    form = read_form(request, _ONCE)
    attributes = _attributes(form)
    return replace(
        current,
        body=_body(form) if "Body" in form else current.body,
        author=read_text(form, "Author") or current.author,
        attributes=current.attributes if attributes is None else attributes,
        updated=now_ms(),
    )


def _body(form: Any) -> str:
    for name in _FILES:
        if form.get(name):
            raise ApiError(400, 20001, f"{name}: messages with files are not supported yet; send a link in Body")
    body: str = form.get("Body", "")
    if not body.strip():
        raise ApiError(400, 50400, "Body: is required")
    if len(body.encode()) > BODY_MOST:
        raise ApiError(400, 50403, f"Body: at most {BODY_MOST} bytes are allowed")
    return body


def _attributes(form: Any) -> str | None:
    attributes = read_attributes(form)
    if attributes and len(attributes.encode()) > _ATTRIBUTES_MOST:
        raise invalid("Attributes", f"at most {_ATTRIBUTES_MOST} bytes are allowed")
    return attributes


def _refused(why: str) -> ApiError:
    if why == "gone":
        return not_found(request.path)
    return ApiError(403, 50351, "The conversation is closed: its visitor would not see the message")


def _find(finder: Finder, chat: Chat, sid: str) -> tuple[int, ChatMessage]:
    """Find a message of a chat, with its index; raise ApiError 404."""
    found = finder.store.chats.find(chat, sid) if is_sid(sid, "IM") else None
    if found is None:
        raise not_found(request.path)
    return found


def _page(finder: Finder, asked: Asked, chat: Chat) -> dict[str, Any]:
    wanted, order = read_page(request.args, most=PAGE_MOST, cut=True), request.args.get("Order", "asc")
    if order not in ("asc", "desc"):
        raise invalid("Order", f"{order[:20]!r} is neither asc nor desc")
    scope = f"Messages {chat.sid} {order}"
    cursor = unseal(asked.account, scope, wanted.token)
    if order == "asc":
        look = finder.store.chats.look(chat.account_sid, chat.sid, "after", int(cursor or -1), wanted.size)
        following = look.end - 1 if look and look.end < look.next else None
    else:
        look = finder.store.chats.look(chat.account_sid, chat.sid, "before", int(cursor or 2**53), wanted.size)
        following = look.start if look and look.start > look.first else None
    shown = look.messages[:: 1 if order == "asc" else -1] if look else ()
    return page_body(
        "messages",
        [message(chat, index, each, asked.base) for index, each in shown],
        wanted,
        url=f"{asked.base}/Conversations/{chat.sid}/Messages",
        filters={"Order": order},
        next_token=seal(asked.account, scope, str(following)) if following is not None else "",
        previous_token="",
    )
