"""Reads the resources at Twilio that flows of tasks and Conversations name.

https://www.twilio.com/docs/taskrouter/api, https://www.twilio.com/docs/conversations-classic/api and
https://www.twilio.com/docs/studio/rest-api/v2/flow
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from router.twilio_api.client import Rest

_NEWEST: Final = 50
_SESSIONS: Final = 100
# The event of a Studio flow's trigger for messages in Conversations.
CONVERSATION_TRIGGER: Final = "incomingConversationMessage"


@dataclass(frozen=True, slots=True)
class ConversationMessage:
    """A message of a Conversation; `router_id` is the inbound MessageSid if the router added it, else ""."""

    author: str = field(repr=False)
    body: str = field(repr=False)
    router_id: str


class Resources(Rest):
    """The resources of an account. Every method raises `TwilioError` if the account has no such resource."""

    def workspace(self, sid: str) -> None:
        """Read a TaskRouter workspace."""
        with self.errors():
            self.client.taskrouter.v1.workspaces(sid).fetch()

    def workflow(self, workspace: str, sid: str) -> None:
        """Read a workflow of a workspace."""
        with self.errors():
            self.client.taskrouter.v1.workspaces(workspace).workflows(sid).fetch()

    def chat_service(self, sid: str) -> None:
        """Read a chat service of Conversations."""
        with self.errors():
            self.client.conversations.v1.services(sid).fetch()

    def proxy_service(self, sid: str) -> None:
        """Read a Proxy service."""
        with self.errors():
            self.client.proxy.v1.services(sid).fetch()

    def has_live_sessions(self, sid: str) -> bool:
        """Return whether a Proxy service has a session that has not ended."""
        with self.errors():
            sessions = self.client.proxy.v1.services(sid).sessions.stream(page_size=_SESSIONS)
            return any(str(each.status) not in {"closed", "failed"} for each in sessions)

    def triggers(self, sid: str) -> set[str]:
        """Return the events of a Studio flow's trigger that are connected to a widget."""
        with self.errors():
            states: list[Any] = self.client.studio.v2.flows(sid).fetch().definition["states"]
            trigger: dict[str, Any] = next((each for each in states if each["type"] == "trigger"), {"transitions": []})
            return {str(each["event"]) for each in trigger["transitions"] if each.get("next")}

    def default_messaging_service(self) -> str:
        """Return the account's default Messaging Service for Conversations; "" if it has none."""
        with self.errors():
            return self.client.conversations.v1.configuration().fetch().default_messaging_service_sid or ""

    def is_handed_over(self, number: str) -> bool:
        """Return whether Twilio auto-creates the Conversations of a number, and the number has no webhook."""
        with self.errors():
            found = self.client.incoming_phone_numbers.list(phone_number=number, limit=_NEWEST)
            own = [each for each in found if each.phone_number == number]
        return bool(own) and not (own[0].sms_url or own[0].sms_application_sid) and self.auto_creates(number)

    def auto_creates(self, address: str) -> bool:
        """Return whether Twilio auto-creates Conversations for an address."""
        with self.errors():
            found = self.client.conversations.v1.address_configurations(address).fetch()
            return bool((found.auto_creation or {}).get("enabled"))

    def webhooks(self, service: str, sid: str) -> int:
        """Return the number of webhooks of a Conversation."""
        with self.errors():
            return len(self._conversation(service, sid).webhooks.list())

    def messages(self, service: str, sid: str) -> list[ConversationMessage]:
        """Return the newest messages of a Conversation."""
        with self.errors():
            found = self._conversation(service, sid).messages.list(order="desc", limit=_NEWEST)
            return [
                ConversationMessage(str(each.author), str(each.body or ""), _router_id(each.attributes))
                for each in found
            ]

    def _conversation(self, service: str, sid: str) -> Any:
        api = self.client.conversations.v1
        return (api.services(service) if service else api).conversations(sid)


def _router_id(attributes: Any) -> str:
    try:
        found = json.loads(attributes or "{}")
    except ValueError:
        return ""
    return str(found.get("routerMessageId") or "") if isinstance(found, dict) else ""
