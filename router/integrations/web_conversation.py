"""A web chat's Conversation at Twilio, in which Studio flows and Flex's agents work.

No address is bound to it, so Twilio captures no message: the router adds each message of the visitor. The router
receives the messages of agents, Studio and bots by a webhook of the Conversation and by polling it
(router.delivery.chat_mirror).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.integrations.base import AttemptError, Failure
from router.integrations.codes import IDENTITY_TAKEN, NAME_TAKEN
from router.integrations.conversation_steps import Steps, router_id
from router.integrations.memory import Known, Memory
from router.integrations.rest import CONVERSATIONS, NOT_FOUND, Rest, RestError
from router.message.twiml import EMPTY_TWIML, Answer
from router.settings import Account

# The events for which the Conversation's webhook calls the router.
EVENTS: Final = ("onMessageAdded", "onMessageUpdated", "onMessageRemoved", "onConversationStateUpdated")
# The maximum number of Conversations of one chat, each created after the previous one was deleted.
_NAMES: Final = 5
# The number of newest messages that are read.
_NEWEST: Final = 50


@dataclass(frozen=True, slots=True)
class WebConversation:
    """Adds visitors' messages; `base` is the router's own public base, "" if it has none.

    For each chat it stores `conversation` and `chat`, the SIDs at Twilio and here, and `ours`, "1"; callers may add
    more values.
    """

    rest: Rest
    memory: Memory
    base: str
    sticky_hours: float

    def send(self, steps: Steps) -> Answer:
        """Add the message to the chat's Conversation, which the first message creates; see `Sender.send`."""
        attempt = steps.attempt
        chat = attempt.message.conversation_sid
        known = Known(self.memory, attempt)
        sid = known["conversation"]
        if known["chat"] != chat or not sid:
            sid = self._made(steps, chat)
            known.replace(conversation=sid, chat=chat, ours="1")
        note = f"{sid} has it already" if attempt.repeats and steps.has(sid) else ""
        try:
            note = note or f"added {steps.add_message(sid)} to {sid}"
        except RestError as error:
            if error.status == NOT_FOUND:  # deleted by hand: the next attempt creates another one
                known.replace()
                raise AttemptError(
                    Failure.FAILED, f"{sid} is gone; another one is made", status=error.status
                ) from error
            raise
        return Answer(200, "text/xml", EMPTY_TWIML, "", note=note)

    def _made(self, steps: Steps, chat: str) -> str:
        """Create the Conversation with participant and webhooks, or complete one that an earlier attempt created."""
        for number in range(1, _NAMES + 1):
            name = f"router-chat-{chat}{f'-{number}' if number > 1 else ''}"
            try:
                sid, is_new = steps.create(name, self.sticky_hours), True
            except RestError as error:
                if error.code != NAME_TAKEN:
                    raise
                sid, is_new = steps.find(name), False
            if sid:
                if self.base:
                    steps.attach_webhook(sid, f"{self.base}/webhooks/web?chat={chat}", EVENTS, look=not is_new)
                steps.attach(sid, look=not is_new)
                try:
                    steps.join(sid)
                except RestError as error:
                    if error.code != IDENTITY_TAKEN:
                        raise
                return sid
        raise AttemptError(Failure.PERMANENT, f"the chat has had {_NAMES} Conversations, and all are closed")


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message that an agent, Studio or a bot added to a chat's Conversation."""

    sid: str
    author: str
    body: str
    date: str


def agent_messages(rows: list[Mapping[str, Any]], identity: str) -> list[AgentMessage]:
    """Return the messages that are not the visitor's, the oldest first; `rows` are all messages, the newest first."""
    return [
        AgentMessage(
            str(row["sid"]), str(row.get("author") or ""), str(row.get("body") or ""), str(row.get("date_created"))
        )
        for row in reversed(rows)
        if row.get("sid") and row.get("author") != identity and not router_id(row.get("attributes"))
    ]


def read_messages(rest: Rest, account: Account, service: str, sid: str) -> list[Mapping[str, Any]]:
    """Read the newest messages of a Conversation, the newest first. Raises as `Rest.get` does."""
    return rest.get(account, f"{_url(service, sid)}/Messages", Order="desc", PageSize=str(_NEWEST)).rows("messages")


def read_state(rest: Rest, account: Account, service: str, sid: str) -> str:
    """Read the state of a Conversation; a deleted one is closed. Raises as `Rest.get` does."""
    try:
        return rest.get(account, _url(service, sid)).text("state")
    except RestError as error:
        if error.status == NOT_FOUND:
            return "closed"
        raise


def close(rest: Rest, account: Account, service: str, sid: str) -> None:
    """Close a Conversation whose visitor has ended the chat. Raises as `Rest.post` does."""
    rest.post(account, _url(service, sid), {"State": "closed"})


def _url(service: str, sid: str) -> str:
    base = f"{CONVERSATIONS}/v1/Services/{service}" if service else f"{CONVERSATIONS}/v1"
    return f"{base}/Conversations/{sid}"
