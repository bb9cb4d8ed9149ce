"""The requests to Twilio that add a message to a Conversation.

https://www.twilio.com/docs/conversations-classic/api and
https://www.twilio.com/docs/flex/developer/conversations/interactions-api
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from router.integrations.base import Attempt, AttemptError, Failure
from router.integrations.rest import CONVERSATIONS, FLEX, NOT_FOUND, TASKROUTER, Form, Reply, Rest, RestError, deadline
from router.iso_time import utc
from router.message.address import canonical
from router.message.channel import ALL
from router.message.inbound import Message
from router.sid import is_sid

# The number of newest messages of a Conversation that are searched for a message.
NEWEST: Final = 50
# Twilio's minimum for `Timers.Closed`, in minutes.
_CLOSED_LEAST: Final = 10
# The maximum difference between the date of a message that Twilio captured and the acceptance of its webhook, in
# seconds.
_APART: Final = 30.0
# Without this header Twilio calls no webhook and starts no Studio flow for a message that is created by REST.
_WITH_WEBHOOKS: Final = "X-Twilio-Webhook-Enabled: true"


@dataclass(frozen=True, slots=True)
class Bound:
    """The Conversation that a pair of addresses is bound to."""

    sid: str
    unique_name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A message of a Conversation; `ours` is whether the router added it, and not Twilio."""

    sid: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Steps:
    """The requests of one attempt, which began at `started`, in monotonic seconds. All raise as `Rest` does."""

    rest: Rest
    attempt: Attempt
    started: float

    def bound(self) -> Bound | None:
        """Find the active or inactive Conversation that the message's pair of addresses is bound to."""
        message = self.attempt.message
        page = self._get(f"{self._service}/ParticipantConversations", Address=message.from_, PageSize="50")
        for row in page.rows("conversations"):
            binding = row.get("participant_messaging_binding")
            proxy = str(binding.get("proxy_address") or "") if isinstance(binding, dict) else ""
            if row.get("conversation_state") != "closed" and canonical(proxy, message.channel) == canonical(
                message.to, message.channel
            ):
                return Bound(str(row.get("conversation_sid", "")), str(row.get("conversation_unique_name") or ""))
        return None

    def create(self, unique_name: str, sticky_hours: float) -> str:
        """Create a Conversation, once: Twilio refuses a repeated call, because unique names are unique."""
        attempt, message, flow = self.attempt, self.attempt.message, self.attempt.flow
        services = (message.messaging_service_sid, flow.contact_identity)
        pinned = next((each for each in services if is_sid(each, "MG")), "")
        attributes = {"router": {"flow": flow.sid, "lane": attempt.lane}, "channelType": message.channel}
        form = {
            "UniqueName": unique_name,
            "FriendlyName": _whole(message.profile_name or message.from_)[:256],
            "Attributes": json.dumps(attributes | ({"language": attempt.language} if attempt.language else {})),
            **({"MessagingServiceSid": pinned} if pinned else {}),
            **({"Timers.Closed": f"PT{max(_CLOSED_LEAST, int(sticky_hours * 60))}M"} if flow.janitor_enabled else {}),
        }
        return self._sid(self._post(self._conversations, form), "Conversation")

    def find(self, name: str) -> str:
        """Return the SID of the open Conversation with a unique name; "" if Twilio has no such Conversation."""
        try:
            conversation = self._get(f"{self._conversations}/{name}")
        except RestError as error:
            if error.status != NOT_FOUND:
                raise
            return ""
        return "" if conversation.text("state") == "closed" else conversation.text("sid")

    def attach(self, sid: str, *, look: bool) -> None:
        """Connect the Conversation to the flow's Studio flow or webhook, if it has one.

        With `look`, it is first checked whether an earlier attempt has done it.
        """
        integration = self.attempt.flow.integration
        if integration.type == "task" or not (integration.flow_sid or integration.url):
            return  # agents answer a task; its flow may still have the target of a former type
        if integration.flow_sid:
            wanted = {"Target": "studio", "Configuration.FlowSid": integration.flow_sid}
            self._attach(sid, ("flow_sid", integration.flow_sid), wanted, look=look)
        else:
            self.attach_webhook(sid, integration.url, ("onMessageAdded",), look=look)

    def attach_webhook(self, sid: str, url: str, events: Sequence[str], *, look: bool) -> None:
        """Send events of the Conversation to a URL."""
        wanted = [
            ("Target", "webhook"),
            ("Configuration.Url", url),
            ("Configuration.Method", "POST"),
            *(("Configuration.Filters", event) for event in events),
        ]
        self._attach(sid, ("url", url), wanted, look=look)

    def _attach(self, sid: str, named: tuple[str, str], wanted: Form, *, look: bool) -> None:
        url = f"{self._conversations}/{sid}/Webhooks"
        if look:
            for row in self._get(url).rows("webhooks"):
                configuration = row.get("configuration")
                if isinstance(configuration, dict) and configuration.get(named[0]) == named[1]:
                    return
        self._post(url, wanted)

    def join(self, sid: str) -> None:
        """Add a web chat's visitor to the Conversation as a participant."""
        self._post(f"{self._conversations}/{sid}/Participants", {"Identity": self._author})

    def has(self, sid: str) -> bool:
        """Return whether the router has added the message already."""
        page = self._get(f"{self._conversations}/{sid}/Messages", Order="desc", PageSize=str(NEWEST))
        return any(
            router_id(row.get("attributes")) == self.attempt.message.message_sid for row in page.rows("messages")
        )

    def bind(self, sid: str) -> None:
        """Bind the pair of addresses to the Conversation; from now on Twilio captures its messages."""
        message = self.attempt.message
        form = {"MessagingBinding.Address": message.from_, "MessagingBinding.ProxyAddress": message.to}
        self._post(f"{self._conversations}/{sid}/Participants", form)

    def drop(self, sid: str) -> None:
        """Remove a Conversation that is not needed after all, unless it has a participant."""
        if not self._get(f"{self._conversations}/{sid}/Participants").rows("participants"):
            deadline(self.attempt, self.started)
            self.rest.delete(self.attempt.account, f"{self._conversations}/{sid}")

    def seen(self, sid: str, accepted: float, claimed: Sequence[str]) -> Seen | None:
        """Search the Conversation for the message.

        `accepted` is in Unix seconds. `claimed` are messages that Twilio captured, each with the router's message:
        `IM…=SM…`.
        """
        message, capture = self.attempt.message, self.attempt.flow.capture
        try:
            page = self._get(f"{self._conversations}/{sid}/Messages", Order="desc", PageSize=str(NEWEST))
        except RestError as error:
            if error.status != NOT_FOUND:
                raise
            return None
        rows = page.rows("messages")
        if any(router_id(row.get("attributes")) == message.message_sid for row in rows):
            return Seen(sid, ours=True)
        message_sids = dict(each.split("=", 1) for each in claimed)
        for row in reversed(rows):
            im = str(row.get("sid", ""))
            if (
                message_sids.get(im, message.message_sid) != message.message_sid
                or router_id(row.get("attributes"))
                or capture == "never"
            ):
                continue
            same = row.get("author") == message.from_ and str(row.get("body") or "") == message.body
            # It is unknown when Twilio received a replayed or recovered message.
            near = abs(_seconds(row.get("date_created"), accepted) - accepted) <= _APART
            if same and (near or self.attempt.replay or self.attempt.recovered):
                return Seen(im, ours=False)
        return None

    def add_message(self, sid: str) -> str:
        """Add the message to the Conversation, with its sender as the author; return its SID there."""
        message = self.attempt.message
        attributes = {"routerMessageId": message.message_sid}
        form = {
            "Author": self._author,
            "Body": _whole(_text(message)),
            "DateCreated": utc((time.time() - self.attempt.age) * 1000),
            "Attributes": json.dumps(attributes | ({"media": _media(message)} if message.num_media else {})),
        }
        made = self._post(f"{self._conversations}/{sid}/Messages", form, headers=[_WITH_WEBHOOKS])
        return self._sid(made, "message")

    def interact(self, sid: str) -> str:
        """Create a Flex Interaction for the Conversation; return its SID."""
        channel = self.attempt.message.channel
        given = {
            # https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interactions
            "type": ALL[channel].prefix or channel,
            "initiated_by": "customer",
            "properties": {"media_channel_sid": sid},
        }
        form = {"Channel": json.dumps(given), "Routing": self.attempt.flow.integration.interaction}
        return self._sid(self._post(f"{FLEX}/v1/Interactions", form), "Interaction")

    def routing_workspace(self) -> str:
        """Return the workspace that the flow's Interaction names for its routing, "" for none."""
        properties = json.loads(self.attempt.flow.integration.interaction).get("properties")
        workspace = properties.get("workspace_sid") if isinstance(properties, dict) else ""
        return workspace if isinstance(workspace, str) and is_sid(workspace, "WS") else ""

    def has_task(self, workspace: str, sid: str) -> bool:
        """Return whether an Interaction has already created a task for the Conversation."""
        page = self._get(
            f"{TASKROUTER}/v1/Workspaces/{workspace}/Tasks", EvaluateTaskAttributes=f"conversationSid == '{sid}'"
        )
        return any(sid in str(row.get("attributes")) for row in page.rows("tasks"))

    # -- requests ---------------------------------------------------------------------------------------------------

    @property
    def _author(self) -> str:
        message = self.attempt.message
        return message.params.get("ClientIdentity") or message.from_

    @property
    def _service(self) -> str:
        own = self.attempt.flow.chat_service_sid
        return f"{CONVERSATIONS}/v1/Services/{own}" if own else f"{CONVERSATIONS}/v1"

    @property
    def _conversations(self) -> str:
        return f"{self._service}/Conversations"

    def _get(self, url: str, **query: str) -> Reply:
        deadline(self.attempt, self.started)
        return self.rest.get(self.attempt.account, url, **query)

    def _post(self, url: str, form: Form, headers: Sequence[str] = ()) -> Reply:
        deadline(self.attempt, self.started)
        return self.rest.post(self.attempt.account, url, form, headers=headers)

    def _sid(self, made: Reply, what: str) -> str:
        if not made.text("sid"):
            raise AttemptError(Failure.UNKNOWN, f"Twilio's answer names no {what}")
        return made.text("sid")


def _text(message: Message) -> str:
    """Return the customer's message as text: a Conversation accepts neither media by URL nor an empty message."""
    lines = [message.body] if message.body else []
    lines += [media.url for media in message.media]
    params = message.params
    if params.get("Latitude") and params.get("Longitude"):
        lines.append(f"geo:{params['Latitude']},{params['Longitude']} {params.get('Label', '')}".rstrip())
    return "\n".join(lines) or "(a message without text)"


def _media(message: Message) -> list[dict[str, str]]:
    return [{"url": media.url, "contentType": media.content_type} for media in message.media]


def router_id(attributes: object) -> str:
    """Return the MessageSid in the attributes of a message that the router added; "" for any other message."""
    try:
        parsed = json.loads(str(attributes or "{}"))
    except ValueError:
        return ""
    return str(parsed.get("routerMessageId") or "") if isinstance(parsed, dict) else ""


def _seconds(date: object, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(str(date)).timestamp()
    except ValueError:
        return otherwise


def _whole(text: str) -> str:
    # A lone surrogate, for example of an emoji that was cut, cannot be encoded.
    return text.encode(errors="replace").decode()
