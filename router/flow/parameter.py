"""The parameters of a Flex Flow: the table from which forms, JSON, flow files and documentation are derived.

A new parameter is a row of `FIELDS`, and an attribute in router/flow/flex_flow.py (router/flow/web_chat.py for a
`WebChat.` one). REST, OpenAPI, commands, the console and comparisons need no change; `make docs` adds it to
docs/flex-flows.md. Add it to config/flows.toml if operators should see it in an example.

https://www.twilio.com/docs/flex/developer/messaging/flow
"""

from dataclasses import dataclass
from typing import Any, Final

from router.flow.integration_type import INTEGRATION_TYPES, integration_type
from router.flow.kind import (
    Choice,
    Flag,
    JsonObject,
    Kind,
    Languages,
    Rule,
    Sid,
    SigningKeys,
    Text,
    Twiml,
    Url,
    Whole,
    Words,
)
from router.flow.web_chat import FormFields, Origins, Tag, Texts
from router.message.channel import CHANNELS, WEB

CHANNEL_TYPES: Final = CHANNELS
RETRY_WORDS: Final = ("ct", "rt", "4xx", "5xx", "all")
RESPONSES: Final = ("accept", "relay", "redirect")
CAPTURES: Final = ("auto", "always", "never")

# The default policies of types that repeat attempts with an unknown outcome (`rt`), and of those that do not.
_RETRIES: Final = ("ct", "rt", "5xx")
_RETRIES_SURE: Final = ("ct", "5xx")
_TWO_WEEKS: Final = 1_209_600  # seconds: the maximum Timeout of a task, and the maximum ValidityPeriod
_INT_MAX: Final = 2**31 - 1


def _named(what: str, *, is_true: bool = True) -> str:
    """Return the names of the integration types for which an attribute is true, or false, as text."""
    *others, last = [f"`{each.name}`" for each in INTEGRATION_TYPES.values() if getattr(each, what) is is_true]
    return f"{', '.join(others)} and {last}"


def default_response(name: str) -> str:
    """Return the response of the flows of an integration type that do not set one."""
    return "relay" if integration_type(name).relays else "accept"


def default_retry_policy(name: str) -> tuple[str, ...]:
    """Return the retry policy of the flows of an integration type that do not set one."""
    return _RETRIES if integration_type(name).repeats else _RETRIES_SURE


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of a flow.

    Args:
        wire: its name in a form, such as `Integration.FlowSid`.
        attribute: its name in `FlexFlow`, such as `integration.flow_sid`.
        kind: its allowed values, and their format.
        default: its value if it is not given. Never change a default: records leave out parameters with their default.
        help: one sentence for the documentation.
        required: whether a flow cannot be created without it.
        ours: whether only this router has it, and Twilio does not.
        write_only: whether the API accepts it and never shows it.
        types: the integration types that use it; empty for all. Types that need it are added.
        channels: the channel types that use it; empty for all.
    """

    wire: str
    attribute: str
    kind: Kind
    default: Any
    help: str
    required: bool = False
    ours: bool = False
    write_only: bool = False
    types: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.types:
            needing = (each.name for each in INTEGRATION_TYPES.values() if self.wire in each.needs)
            object.__setattr__(self, "types", tuple(dict.fromkeys((*self.types, *needing))))

    @property
    def key(self) -> str:
        """Its name in JSON and in flow files."""
        return "integration_type" if self.attribute == "integration.type" else self.attribute

    def used_by(self, integration_type: str, channel_type: str) -> bool:
        """Return whether a flow of these types uses the parameter."""
        return (not self.types or integration_type in self.types) and (
            not self.channels or channel_type in self.channels
        )


FIELDS: Final = (
    Field("FriendlyName", "friendly_name", Text(256), "", "The name of the flow, for people", required=True),
    Field("ChatServiceSid", "chat_service_sid", Sid("IS"), "", "The chat service of the flow", required=True),
    Field("ChannelType", "channel_type", Choice(CHANNEL_TYPES), "", "The channel of its messages", required=True),
    Field(
        "ContactIdentity",
        "contact_identity",
        Text(256),
        "*",
        "The address the customer writes to, a Messaging Service (`MG…`), or `*` for every address. A `web` flow "
        "without it gets its own address",
    ),
    Field("Enabled", "enabled", Flag(), True, "Whether the flow takes messages"),
    Field(
        "IntegrationType",
        "integration.type",
        Choice(tuple(INTEGRATION_TYPES)),
        "",
        "What receives the messages. By default `studio` with an `Integration.FlowSid`, `external` with an "
        "`Integration.Url`, else `proxy`, or `conversation` on `web`",
    ),
    Field(
        "Integration.FlowSid",
        "integration.flow_sid",
        Sid("FW"),
        "",
        "The Studio flow; with `conversation` the one that each Conversation starts, if any",
        types=("studio", "conversation"),
    ),
    Field(
        "Integration.Url",
        "integration.url",
        Url(),
        "",
        "The webhook; with `conversation` the one that gets the messages of each Conversation, if any",
        types=("external", "conversation"),
    ),
    Field(
        "Integration.SigningKey",
        "integration.signing_key",
        SigningKeys(256),
        "",
        "The key that signs requests, instead of the account's auth token; two keys, comma separated, while one "
        "replaces the other",
        ours=True,
        write_only=True,
        types=("external",),
    ),
    Field(
        "Integration.ProxyServiceSid",
        "integration.proxy_service_sid",
        Sid("KS"),
        "",
        "The Proxy service; by default the account's",
        ours=True,
        types=("proxy",),
    ),
    Field(
        "Integration.Handler",
        "integration.handler",
        Text(64),
        "",
        "The name of a handler in the settings",
        ours=True,
        types=("handler",),
    ),
    Field("Integration.WorkspaceSid", "integration.workspace_sid", Sid("WS"), "", "The workspace", types=("task",)),
    Field("Integration.WorkflowSid", "integration.workflow_sid", Sid("WW"), "", "The workflow", types=("task",)),
    Field(
        "Integration.Channel",
        "integration.channel",
        Text(64),
        "default",
        "The task channel, `TC…` or its unique name",
        types=("task",),
    ),
    Field(
        "Integration.Timeout",
        "integration.timeout",
        Whole(1, _TWO_WEEKS),
        86_400,
        "Seconds after which the task is canceled",
        types=("task",),
    ),
    Field(
        "Integration.Priority", "integration.priority", Whole(0, _INT_MAX), 0, "The task's priority", types=("task",)
    ),
    Field(
        "Integration.CreationOnMessage",
        "integration.creation_on_message",
        Flag(),
        False,
        "Kept and shown, without effect: an inbound message always creates the task",
        types=("task",),
    ),
    Field(
        "Integration.TaskAttributes",
        "integration.task_attributes",
        JsonObject(2048),
        "",
        "Attributes of the tasks, in addition to the router's own. A value that is exactly `{{Body}}`, or another "
        "parameter of the webhook in braces, is replaced by the parameter's value",
        ours=True,
        types=("task",),
    ),
    Field(
        "Integration.TaskPerConversation",
        "integration.task_per_conversation",
        Flag(),
        True,
        "Whether a conversation has one open task, which counts its messages, or each message has its own task",
        ours=True,
        types=("task",),
    ),
    Field(
        "Integration.Interaction",
        "integration.interaction",
        JsonObject(4096),
        "",
        "Routing (JSON, as Twilio's `Routing`); if set, each Conversation starts a Flex Interaction with it",
        ours=True,
        types=("conversation",),
    ),
    Field(
        "Integration.RetryCount", "integration.retry_count", Whole(0, 20), 3, "How often a failed attempt is repeated"
    ),
    Field(
        "Integration.RetryPolicy",
        "integration.retry_policy",
        Words(RETRY_WORDS),
        (),
        "Which failures are repeated, up to `Integration.RetryCount` times: `5xx` (also 408 and 425, and exceptions of "
        "handlers), `4xx` (other 4xx), `rt` (no complete answer: the message may have been processed), `all`. `ct` is "
        "accepted and changes nothing: a message that cannot have been processed (no connection, 429, 503) is repeated "
        f"until its `ValidityPeriod` ends. Default `{','.join(_RETRIES_SURE)}` for "
        f"{_named('repeats', is_true=False)}, else `{','.join(_RETRIES)}`",
        ours=True,
    ),
    Field(
        "LongLived",
        "long_lived",
        Flag(),
        False,
        "Whether a conversation stays with the flow however long it is idle, unless `JanitorEnabled` is set. Has an "
        "effect only if several flows share an address",
    ),
    Field(
        "JanitorEnabled",
        "janitor_enabled",
        Flag(),
        False,
        "Whether a `LongLived` conversation also ends when it was idle for `ROUTER_STICKY_HOURS`",
    ),
    Field(
        "ValidityPeriod",
        "validity_period",
        Whole(1, _TWO_WEEKS),
        14_400,
        "Seconds after which a message that is not delivered yet is `undelivered`",
        ours=True,
    ),
    Field("Language", "language", Languages(), (), "The languages of the messages it takes", ours=True),
    Field(
        "LanguageChange",
        "language_change",
        Flag(),
        False,
        "Whether a conversation at the flow's address moves to another flow when its language clearly changes",
        ours=True,
    ),
    Field(
        "LanguageCommands",
        "language_commands",
        Flag(),
        False,
        "Whether a customer who writes the name of a language to the flow's address, as `ESPAÑOL`, is served in this "
        "language from then on",
        ours=True,
    ),
    Field("Match", "match", Rule(), "", "A condition on the messages it takes, in CEL", ours=True),
    Field(
        "Priority",
        "priority",
        Whole(0, _INT_MAX),
        0,
        "The flow with the smallest number is asked first, among flows of one address",
        ours=True,
    ),
    Field(
        "Response",
        "response",
        Choice(RESPONSES),
        "",
        f"How the router answers Twilio. Default `relay` for {_named('relays')}, else `accept`",
        ours=True,
    ),
    Field(
        "Capture",
        "capture",
        Choice(CAPTURES),
        "auto",
        "Who adds a message to the Conversation that its sender is already in: `always` = Twilio, `never` = the "
        "router, `auto` = Twilio if the sender is still in it: the router asks Twilio's REST API for each message",
        ours=True,
        types=("conversation",),
    ),
    Field("MigrateTo", "migrate_to", Sid("FO"), "", "The flow of the same address that takes over", ours=True),
    Field(
        "MigratePercent",
        "migrate_percent",
        Whole(0, 100),
        0,
        "The percentage of new contacts that go to `MigrateTo`. With 100 the earlier contacts go there too, with their "
        "next message, unless they are in a Proxy session",
        ours=True,
    ),
    Field(
        "Paused",
        "paused",
        Flag(),
        False,
        "Whether messages are accepted but not delivered; they wait, in order",
        ours=True,
    ),
    Field(
        "FallbackTwiml",
        "fallback_twiml",
        Twiml(),
        "",
        "The answer of `relay` when the target does not answer",
        ours=True,
    ),
    Field("TestPage", "test_page", Flag(), True, "Whether the flow's test page is open", ours=True, channels=(WEB,)),
    Field(
        "WebChat.AllowedOrigins",
        "web_chat.allowed_origins",
        Origins(),
        (),
        "The websites that may embed the chat; by default only the router's own pages show it",
        ours=True,
        channels=(WEB,),
    ),
    Field(
        "WebChat.RequireIdentity",
        "web_chat.require_identity",
        Flag(),
        False,
        "Whether a chat begins only with an identity that the website has signed with `WebChat.IdentitySecret`",
        ours=True,
        channels=(WEB,),
    ),
    Field(
        "WebChat.IdentitySecret",
        "web_chat.identity_secret",
        Text(256),
        "",
        "The key with which the website signs identities: HMAC-SHA256, in hexadecimal digits",
        ours=True,
        write_only=True,
        channels=(WEB,),
    ),
    Field(
        "WebChat.Form",
        "web_chat.form",
        FormFields(),
        "",
        "The questions that a visitor answers before the chat",
        ours=True,
        channels=(WEB,),
    ),
    Field(
        "WebChat.Greeting",
        "web_chat.greeting",
        Texts(),
        "",
        "The text that the widget shows before the first message",
        ours=True,
        channels=(WEB,),
    ),
    Field(
        "WebChat.Language",
        "web_chat.language",
        Tag(),
        "",
        "The widget's language; by default that of the page or of the browser",
        ours=True,
        channels=(WEB,),
    ),
    Field(
        "WebChat.StateEvents",
        "web_chat.state_events",
        Flag(),
        False,
        "Whether a webhook or handler also gets `onConversationStateUpdated` when a chat is closed",
        ours=True,
        channels=(WEB,),
    ),
)
REQUIRED: Final = tuple(each.wire for each in FIELDS if each.required)
