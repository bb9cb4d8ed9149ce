"""Outbound integrations: one module for each integration type, each with one `send`.

A type is a row of `router.flow.integration_type` and the module of the same name here, whose `make_sender` makes what
sends. Integrations report how an attempt ended; `router.delivery` decides what follows.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from router.flow.flex_flow import FlexFlow
from router.flow.integration_type import INTEGRATION_TYPES
from router.integrations.base import Attempt, AttemptError, Failure, HasClose, HasUrl, Sender
from router.integrations.dialer import Dialer, make_dialer
from router.integrations.http import Http
from router.integrations.memory import Forgetful, Memory
from router.integrations.messages import API, Messages
from router.integrations.parts import Parts, SenderModule
from router.integrations.rest import Rest
from router.integrations.web_conversation import WebConversation
from router.message.channel import WEB
from router.message.twiml import Answer
from router.settings import Account, Settings
from router.settings.handler import HandlerSetting

__all__ = ["Attempt", "AttemptError", "Failure", "Integrations", "build"]


class Integrations:
    """The senders of this process, by integration type."""

    def __init__(self, settings: Settings, senders: Mapping[str, Sender], http: Http) -> None:
        self._settings = settings
        self._senders = senders
        self.http = http
        self.rest = Rest(http, settings.twilio_api_url)
        self.messages = Messages(http, settings.twilio_api_url or API)

    def send(self, attempt: Attempt) -> Answer:
        """Make one attempt with the sender of the flow's integration type; see `Sender.send`."""
        kind = attempt.flow.integration.type
        if kind == "studio" and attempt.message.channel == WEB:
            kind = "conversation"  # Studio works on a chat in a Conversation only
        sender = self._senders.get(kind)
        if sender is None:
            raise AttemptError(Failure.REFUSED, f"this version does not know the integration type {kind!r}")
        return sender.send(attempt)

    def url(self, account: Account, flow: FlexFlow) -> str:
        """Return the URL of the flow's target, to which Twilio can be redirected; "" if the type has no URL."""
        sender = self._senders.get(flow.integration.type)
        try:
            return sender.url(account, flow) if isinstance(sender, HasUrl) else ""
        except AttemptError:
            return ""

    def close(self) -> None:
        """Close the idle connections and end the handlers' processes; attempts may still be made, with new ones."""
        self.http.close()
        for sender in self._senders.values():
            if isinstance(sender, HasClose):
                sender.close()


def build(
    settings: Settings,
    handlers: Mapping[str, HandlerSetting],
    *,
    dialer: Dialer | None = None,
    memory: Memory | None = None,
) -> Integrations:
    """Make the senders of this process; call it once, after gevent has patched and gunicorn has forked.

    Args:
        settings: the process's settings.
        handlers: the handlers that flows may name.
        dialer: makes the connections; by default it is built from the settings.
        memory: keeps what conversations have at Twilio; None where nothing is delivered.

    """
    http = Http(dialer or make_dialer(settings), settings.twilio_webhooks_url)
    rest, memory = Rest(http, settings.twilio_api_url), memory or Forgetful()
    chats = WebConversation(rest, memory, next(iter(settings.public_urls), ""), settings.sticky_hours)
    parts = Parts(settings, handlers, http, rest, memory, chats)
    senders = {name: _module(name).make_sender(parts) for name in INTEGRATION_TYPES}
    return Integrations(settings, senders, http)


def _module(name: str) -> SenderModule:
    return cast("SenderModule", import_module(f"{__name__}.{name}"))
