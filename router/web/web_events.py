"""POST /webhooks/web: events of the Conversations at Twilio that belong to web chats.

https://www.twilio.com/docs/conversations-classic/conversations-webhooks
"""

from typing import Final
from urllib.parse import parse_qs, urlsplit

from flask import Blueprint, Response, request

from router.delivery.chat_mirror import ChatMirror
from router.errors import StoreUnavailable
from router.integrations.conversation_steps import router_id
from router.integrations.web_conversation import agent_messages
from router.sid import is_sid
from router.store import Store
from router.web.request import Received, Refusal
from router.web.webhooks import WebhookView

_PLAIN: Final = "text/plain; charset=utf-8"


def blueprint(view: WebhookView, store: Store, mirror: ChatMirror) -> Blueprint:
    """Return the route; the blueprint of the webhooks refuses other methods."""
    events = Blueprint("web_events", __name__, url_prefix="/webhooks")

    def event() -> Response:
        try:
            _mirror_event(*view.verified(request.environ), store, mirror)
        except Refusal as refusal:
            text = "Forbidden" if refusal.status == 403 else refusal.reason  # noqa: PLR2004 - one answer for all
            return Response(text, refusal.status, content_type=_PLAIN)
        except StoreUnavailable as error:
            return Response(str(error), 503, content_type=_PLAIN)
        return Response(status=204)

    events.add_url_rule("/web", view_func=event, methods=["POST"])
    return events


def _mirror_event(received: Received, account_sid: str, store: Store, mirror: ChatMirror) -> None:
    fields = dict(received.fields)
    named = parse_qs(urlsplit(received.target).query).get("chat", [""])[0]
    chat = store.chats.get(account_sid, named) if is_sid(named, "CH") else None
    sid = fields.get("ConversationSid", "")
    if chat is None or not sid or mirror.conversation_of(chat) != sid:
        raise Refusal(400, "not an event of a web chat's Conversation")
    event = fields.get("EventType")
    if event == "onMessageAdded":
        for message in agent_messages([_row(fields)], chat.identity):
            mirror.show(chat, message)
    elif event in {"onMessageUpdated", "onMessageRemoved"}:
        # A message of the visitor has another SID at Twilio; its attributes have the SID here.
        sid_here = router_id(fields.get("Attributes")) or fields.get("MessageSid", "")
        mirror.changed(chat, sid_here, fields.get("Body", "") if event == "onMessageUpdated" else None)
    elif event == "onConversationStateUpdated":
        if fields.get("StateTo") == "closed":
            mirror.ended(chat)
    else:
        raise Refusal(400, f"not an event that the router subscribes to: {str(event)[:40]!r}")


def _row(fields: dict[str, str]) -> dict[str, str]:
    """Return the message of a webhook in the format of the resource."""
    parameters = {"sid": "MessageSid", "author": "Author", "body": "Body", "attributes": "Attributes"}
    return {name: fields.get(field, "") for name, field in parameters.items()} | {
        "date_created": fields.get("DateCreated", "")
    }
