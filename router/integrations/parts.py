"""The parts that senders share; the module of each integration type makes its sender in `make_sender`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from router.integrations.base import Sender
from router.integrations.http import Http
from router.integrations.memory import Memory
from router.integrations.rest import Rest
from router.integrations.web_conversation import WebConversation
from router.settings import Settings
from router.settings.handler import HandlerSetting


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that senders share.

    Args:
        settings: the process's settings.
        handlers: the handlers that flows may name.
        http: forwards messages to webhooks.
        rest: calls Twilio's REST API.
        memory: stores each conversation's task or Conversation at Twilio.
        chats: adds the messages of web chats to their Conversations.

    """

    settings: Settings
    handlers: Mapping[str, HandlerSetting]
    http: Http
    rest: Rest
    memory: Memory
    chats: WebConversation


class SenderModule(Protocol):
    """A module of this package with the name of an integration type."""

    def make_sender(self, parts: Parts) -> Sender:
        """Make the sender of the type: once in each process, after gevent has patched and gunicorn has forked."""
        ...
