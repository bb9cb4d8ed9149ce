"""Fakes of Conversations and Flex Interactions, as far as the router uses them.

Messages for a pair of addresses that an active or inactive conversation is bound to are captured: `receive` adds them.

https://www.twilio.com/docs/conversations-classic/api and
https://www.twilio.com/docs/flex/developer/conversations/interactions-api
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from tests.twilio.wire import Answered, Record, problem

_PATH = re.compile(
    r"/v1(?:/Services/(?P<service>IS\w{32}))?/(?P<rest>Conversations|ParticipantConversations)(?P<more>/.*)?"
)


class Conversations:
    """The account's conversations, by SID; each has `participants`, `webhooks` and `messages`.

    `studio` has the Studio flows that were started, with the starting message; `interactions` the requests to Flex.
    """

    def __init__(self, account_sid: str) -> None:
        self.account_sid = account_sid
        self.found: dict[str, dict[str, Any]] = {}
        self.interactions: list[Record] = []
        self.studio: list[tuple[str, str]] = []
        self.on_interaction: Callable[[str, str], None] = lambda _, __: None
        self.studio_flows: dict[str, set[str]] = {}
        self.auto_creation: dict[str, bool] = {}
        self.creations: dict[str, Record] = {}
        self.default_service = ""
        self.services: set[str] = {"IS" + "0e" * 16, "IS" + "1" * 32}
        self._made = 0

    # -- events at Twilio --------------------------------------------------------------------------------------------

    def bound(self, theirs: str, ours: str) -> dict[str, Any] | None:
        """Return the conversation that takes the messages of a pair of addresses."""
        for each in self.found.values():
            if each["state"] in {"active", "inactive"} and any(
                (member["messaging_binding"] or {}).get("address") == theirs
                and (member["messaging_binding"] or {}).get("proxy_address") == ours
                for member in each["participants"]
            ):
                return each
        return None

    def receive(self, theirs: str, ours: str, body: str) -> bool:
        """Receive a customer's message, as Twilio does before it calls the webhook; return whether it was captured."""
        conversation = self.bound(theirs, ours)
        if conversation is None:
            return False
        self._say(conversation, {"Author": theirs, "Body": body}, webhooks=True)
        return True

    def make(self, theirs: str = "", ours: str = "", **more: Any) -> dict[str, Any]:
        """Make a conversation, as another program would, bound to a pair of addresses."""
        conversation = self._new(more.pop("service", "IS" + "0e" * 16), more)
        if theirs:
            binding = {"type": "sms", "address": theirs, "proxy_address": ours}
            conversation["participants"].append({"sid": self._sid("MB"), "messaging_binding": binding})
        return conversation

    def texts_of(self, theirs: str) -> list[str]:
        """Return the texts of a customer in all conversations, in order."""
        messages = [m for each in self.found.values() for m in each["messages"] if m["author"] == theirs]
        return [str(each["body"]) for each in sorted(messages, key=lambda each: str(each["sid"]))]

    # -- what it answers ---------------------------------------------------------------------------------------------

    def route(  # noqa: PLR0911 - one for each resource
        self, method: str, path: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Answered | None:
        """Answer a request, None for one of another product; a GET's query is its form."""
        if path == "/v1/Interactions" and method == "POST":
            return self._interact(form)
        if path.startswith("/v1/Configuration/Addresses") and method == "POST":
            return self._configure(unquote(path).rpartition("/")[2], form)
        if setup := self._setup(path):
            return setup
        matched = _PATH.fullmatch(path)
        if matched is None:
            return None
        service, more = matched["service"] or "", [part for part in (matched["more"] or "").split("/") if part]
        if service and service not in self.services:
            return _missing(path)
        if matched["rest"] == "ParticipantConversations":
            return self._of_participant(service, form)
        if not more:
            return self._create(service, form)
        conversation = self._get(more[0])
        if conversation is None or (service and conversation["chat_service_sid"] != service):
            return _missing(path)
        if len(more) == 1:
            return self._one(method, conversation, form)
        part = {"Participants": self._participants, "Webhooks": self._webhooks, "Messages": self._messages}[more[1]]
        return part(method, conversation, form, headers)

    def _setup(self, path: str) -> Answered | None:
        """Answer requests to services, Studio flows and addresses."""
        kind, _, name = unquote(path).rpartition("/")
        if kind == "/v1/Services" and name.startswith("IS"):
            return (200, {"sid": name}, {}) if name in self.services else _missing(path)
        if path == "/v1/Configuration":
            return 200, {"account_sid": self.account_sid, "default_messaging_service_sid": self.default_service}, {}
        if kind == "/v2/Flows":
            transitions = [
                {"event": each, "next": "a" if each in self.studio_flows.get(name, ()) else None}
                for each in ("incomingMessage", "incomingCall", "incomingConversationMessage", "incomingRequest")
            ]
            states = [{"type": "trigger", "name": "Trigger", "transitions": transitions}]
            record = {"sid": name, "status": "published", "definition": {"states": states}}
            return (200, record, {}) if name in self.studio_flows else _missing(path)
        if kind == "/v1/Configuration/Addresses" and name in self.auto_creation:
            creation = {"type": "default", **self.creations.get(name, {}), "enabled": self.auto_creation[name]}
            return 200, {"sid": "IG" + "1" * 32, "address": name, "auto_creation": creation}, {}
        return None

    def _configure(self, name: str, form: Mapping[str, str]) -> Answered:
        """Make or change an address's configuration."""
        made = name == "Addresses"
        address = form["Address"] if made else name
        if made == (address in self.auto_creation):
            return problem(409, 50600, "Address configuration exists") if made else _missing(name)
        given = {key: form[key] for key in form if key.startswith("AutoCreation.")}
        self.auto_creation[address] = given.pop("AutoCreation.Enabled", "false") == "true"
        names = {key: re.sub(r"(?<!^)(?=[A-Z])", "_", key.partition(".")[2]).lower() for key in given}
        self.creations[address] = self.creations.get(address, {}) | {names[key]: given[key] for key in given}
        _, record, more = self._setup(f"/v1/Configuration/Addresses/{address}") or _missing(name)
        return 201 if made else 200, record, more

    def _one(self, method: str, conversation: dict[str, Any], form: Mapping[str, str]) -> Answered:
        if method == "DELETE":
            del self.found[conversation["sid"]]
            return 204, None, {}
        if method == "POST":
            conversation["state"] = form.get("State", conversation["state"])
        return 200, _shown(conversation), {}

    def _create(self, service: str, form: Mapping[str, str]) -> Answered:
        name = form.get("UniqueName")
        if name and self._get(name):
            return problem(409, 50353, "Conversation with provided unique name already exists")
        return 201, _shown(self._new(service, {"unique_name": name, "form": dict(form)})), {}

    def _new(self, service: str, more: Mapping[str, Any]) -> dict[str, Any]:
        sid = self._sid("CH")
        self.found[sid] = {
            "sid": sid,
            "account_sid": self.account_sid,
            "chat_service_sid": service,
            "unique_name": None,
            "friendly_name": None,
            "attributes": "{}",
            "state": "active",
            "participants": [],
            "webhooks": [],
            "messages": [],
            **more,
        }
        return self.found[sid]

    def _get(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.found.values() if name in {each["sid"], each["unique_name"]}), None)

    def _of_participant(self, service: str, query: Mapping[str, str]) -> Answered:
        rows = [
            {
                "account_sid": self.account_sid,
                "chat_service_sid": each["chat_service_sid"],
                "conversation_sid": each["sid"],
                "conversation_unique_name": each["unique_name"],
                "conversation_state": each["state"],
                "participant_sid": member["sid"],
                "participant_messaging_binding": member["messaging_binding"],
            }
            for each in self.found.values()
            for member in each["participants"]
            if (not service or each["chat_service_sid"] == service)
            and (member["messaging_binding"] or {}).get("address") == query.get("Address")
        ]
        return 200, {"conversations": rows, "meta": {"key": "conversations", "next_page_url": None}}, {}

    def _participants(
        self, method: str, conversation: dict[str, Any], form: Mapping[str, str], _: Mapping[str, str]
    ) -> Answered:
        if method == "GET":
            rows = conversation["participants"]
            return 200, {"participants": rows, "meta": {"key": "participants", "next_page_url": None}}, {}
        if identity := form.get("Identity"):
            if any(member.get("identity") == identity for member in conversation["participants"]):
                return problem(409, 50433, "Participant already exists")
            made = {"sid": self._sid("MB"), "identity": identity, "messaging_binding": None}
            conversation["participants"].append(made)
            return 201, made, {}
        theirs, ours = form["MessagingBinding.Address"], form["MessagingBinding.ProxyAddress"]
        if other := self.bound(theirs, ours):
            said = "A binding for this participant and proxy address already exists in Conversation " + other["sid"]
            return problem(409, 50416, said)
        binding = {"type": "sms", "address": theirs, "proxy_address": ours}
        conversation["participants"].append({"sid": self._sid("MB"), "messaging_binding": binding})
        return 201, conversation["participants"][-1], {}

    def _webhooks(
        self, method: str, conversation: dict[str, Any], form: Mapping[str, str], _: Mapping[str, str]
    ) -> Answered:
        if method == "GET":
            rows = conversation["webhooks"]
            return 200, {"webhooks": rows, "meta": {"key": "webhooks", "next_page_url": None}}, {}
        if len(conversation["webhooks"]) >= 5:
            return problem(400, 50361, "Too many webhooks attached to the conversation")
        configuration = {
            "url": form.get("Configuration.Url"),
            "flow_sid": form.get("Configuration.FlowSid"),
            "filters": [form["Configuration.Filters"]] if "Configuration.Filters" in form else None,
        }
        made = {"sid": self._sid("WH"), "target": form["Target"], "configuration": configuration}
        conversation["webhooks"].append(made)
        return 201, made, {}

    def _messages(
        self, method: str, conversation: dict[str, Any], form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Answered:
        if method == "GET":
            rows = conversation["messages"][:: -1 if form.get("Order") == "desc" else 1]
            rows = rows[: int(form.get("PageSize", 50))]
            return 200, {"messages": rows, "meta": {"key": "messages", "next_page_url": None}}, {}
        if conversation["state"] == "closed":
            return problem(400, 50386, "The conversation is closed")
        return 201, self._say(conversation, form, webhooks=headers.get("X-Twilio-Webhook-Enabled") == "true"), {}

    def _say(self, conversation: dict[str, Any], form: Mapping[str, str], *, webhooks: bool) -> Record:
        message = {
            "sid": self._sid("IM"),
            "index": len(conversation["messages"]),
            "author": form.get("Author", "system"),
            "body": form.get("Body"),
            "attributes": form.get("Attributes", "{}"),
            "date_created": form.get("DateCreated") or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        conversation["messages"].append(message)
        for each in conversation["webhooks"] if webhooks else ():
            if each["target"] == "studio":
                self.studio.append((each["configuration"]["flow_sid"], str(message["sid"])))
        return message

    def _interact(self, form: Mapping[str, str]) -> Answered:
        channel = json.loads(form["Channel"])
        routing = json.loads(form.get("Routing", "{}"))
        if "properties" not in routing:
            return problem(400, 45004, "routing.properties is required")
        made = {"sid": self._sid("KD"), "channel": channel, "routing": routing}
        self.interactions.append(made)
        self.on_interaction(routing["properties"].get("workspace_sid", ""), channel["properties"]["media_channel_sid"])
        return 200, made, {}

    def _sid(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made:032x}"


def _shown(conversation: Mapping[str, Any]) -> Record:
    inner = ("participants", "webhooks", "messages", "form")
    return {name: value for name, value in conversation.items() if name not in inner}


def _missing(path: str) -> Answered:
    return problem(404, 20404, f"The requested resource {path} was not found")
