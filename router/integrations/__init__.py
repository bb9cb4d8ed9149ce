"""Outbound integrations: one module for each integration type, each with one `send`.

A type is a row of `router.flow.integration_type`, sent by a module here, and listed in `build`. Integrations report how
an attempt ended; `router.delivery` decides what follows.
"""

from collections.abc import Mapping

from router.flow.flex_flow import FlexFlow
from router.integrations.base import Attempt, AttemptError, Failure, HasUrl, Sender
from router.integrations.conversation import Conversation
from router.integrations.dialer import Dialer, make_dialer
from router.integrations.external import External
from router.integrations.handler import Handler, load_handlers
from router.integrations.http import Http
from router.integrations.memory import Forgetful, Memory
from router.integrations.messages import API, Messages
from router.integrations.proxy import Proxy
from router.integrations.rest import Rest
from router.integrations.studio import Studio
from router.integrations.task import Task
from router.integrations.web_conversation import WebConversation
from router.message.channel import WEB
from router.message.twiml import Answer
from router.settings import Account, HandlerSetting, Settings

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
            if isinstance(sender, Handler):
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
    senders: dict[str, Sender] = {
        "proxy": Proxy(http),
        "studio": Studio(http),
        "external": External(http),
        "task": Task(rest, memory, chats),
        "conversation": Conversation(rest, memory, settings.sticky_hours, chats),
        "handler": load_handlers(handlers),
    }
    return Integrations(settings, senders, http)
