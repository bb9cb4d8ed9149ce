"""A chat as a visitor's browser gets it: as JSON, and as events of a stream."""

import json
from collections.abc import Iterable
from typing import Any

from router.chat.event import iso
from router.store.chat_record import ChatMessage


def message_of(index: int, message: ChatMessage) -> dict[str, Any]:
    """Return a message as JSON."""
    return {
        "sid": message.sid,
        "index": index,
        "author": message.author,
        "own": message.side == "visitor",
        "body": message.body,
        "date_created": iso(message.date),
        "client_message_id": message.client or None,
    }


def messages_of(messages: Iterable[tuple[int, ChatMessage]]) -> list[dict[str, Any]]:
    """Return messages as JSON, the oldest first."""
    return [message_of(index, message) for index, message in messages]


def server_event(name: str, body: dict[str, Any], id_: int | None = None) -> bytes:
    """Return an event of a stream: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    line = f"id: {id_}\n" if id_ is not None else ""
    return f"{line}event: {name}\ndata: {json.dumps(body)}\n\n".encode()
