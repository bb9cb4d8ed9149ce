"""The Flex Flow: defines which integration receives the messages for an address.

Its parameters, with their wire names, kinds and defaults, are in `router.flow.parameter.FIELDS`; `router.flow.resource`
creates it from a form and shows it as JSON.

https://www.twilio.com/docs/flex/developer/messaging/flow
"""

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Final

from router.flow.integration_type import INTEGRATION_TYPES, integration_type
from router.flow.parameter import (
    FIELDS,
    Field,
    default_response,
    default_retry_policy,
)
from router.flow.web_chat import WebChat
from router.message.channel import WEB
from router.url import origin
from router.value import value

__all__ = [
    "FIELDS",
    "Field",
    "FlexFlow",
    "Integration",
    "address_sid",
    "is_given",
    "own_address",
    "value_of",
]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_NO_WEB_CHAT: Final = WebChat()


@value
class Integration:
    """The integration that receives the messages of a flow. Texts that were not given are ""; times are seconds.

    An empty `retry_policy` becomes the default of the type.
    """

    type: str
    flow_sid: str = ""
    url: str = ""
    proxy_service_sid: str = ""
    handler: str = ""
    workspace_sid: str = ""
    workflow_sid: str = ""
    channel: str = "default"
    timeout: int = 86_400
    priority: int = 0
    creation_on_message: bool = False
    task_attributes: str = ""
    task_per_conversation: bool = True
    interaction: str = ""
    retry_count: int = 3
    retry_policy: tuple[str, ...] = ()
    signing_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.retry_policy:
            object.__setattr__(self, "retry_policy", default_retry_policy(self.type))

    @property
    def target(self) -> str:
        """The name of its target: a URL, a SID or a handler; "" if it has none, or uses the account's default."""
        for each in integration_type(self.type).targets:
            if name := getattr(self, each):
                return str(name)
        return ""


@value
class FlexFlow:
    """A Flex Flow. `contact_identity` is canonical, dates are Unix seconds.

    An empty `response` becomes the default of the integration's type. `extra` has the parameters that only the address
    configuration (IG…) of the flow has.
    """

    sid: str
    account_sid: str
    friendly_name: str
    chat_service_sid: str
    channel_type: str
    contact_identity: str
    integration: Integration
    enabled: bool = True
    long_lived: bool = False
    janitor_enabled: bool = False
    validity_period: int = 14_400
    language: tuple[str, ...] = ()
    language_change: bool = False
    language_commands: bool = False
    match: str = ""
    priority: int = 0
    response: str = ""
    capture: str = "auto"
    migrate_to: str = ""
    migrate_percent: int = 0
    paused: bool = False
    fallback_twiml: str = ""
    test_page: bool = True
    web_chat: WebChat = _NO_WEB_CHAT
    date_created: int = 0
    date_updated: int = 0
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)

    def __post_init__(self) -> None:
        if not self.response:
            object.__setattr__(self, "response", default_response(self.integration.type))

    @property
    def is_default(self) -> bool:
        """Whether it takes every message for its address: an address has at most one such enabled flow."""
        return not self.language and not self.match

    @property
    def undeliverable(self) -> str:
        """Why this version cannot deliver its messages, which wait; "" if it can."""
        kind = self.integration.type
        if kind not in INTEGRATION_TYPES:
            return f"goes to {kind}, which this version does not know"
        if self.channel_type == WEB and not integration_type(kind).takes_web:
            return f"goes to {kind}, which this version cannot deliver web chats to"
        return ""

    @property
    def is_held(self) -> bool:
        """Whether its messages wait until it is changed: it is paused, or this version cannot deliver to it."""
        return self.paused or bool(self.undeliverable)

    @property
    def has_own_address(self) -> bool:
        """Whether it is a web flow with its own address, because it was created without a ContactIdentity."""
        return self.channel_type == WEB and self.contact_identity == own_address(self.sid)

    @property
    def is_lasting(self) -> bool:
        """Whether a conversation stays with it without a limit of idle time."""
        return self.long_lived and not self.janitor_enabled

    @property
    def target(self) -> str:
        """The target, for breakers, shares and metrics: an origin, a handler, or the integration's type."""
        kind = integration_type(self.integration.type)
        if not kind.separate:
            return self.integration.type
        name: str = getattr(self.integration, kind.targets[0])
        return origin(name) if kind.targets == ("url",) else f"{kind.name}:{name}"


def address_sid(flow: FlexFlow) -> str:
    """Return the SID of the flow as an address configuration, which has the same hexadecimal digits."""
    return "IG" + flow.sid[2:]


def own_address(sid: str) -> str:
    """Return the address of a web flow that was created without one."""
    return f"{WEB}:IG{sid[2:]}"


def value_of(flow: FlexFlow, attribute: str) -> Any:
    """Return the value of one of `FIELDS`, by its attribute."""
    place, _, name = attribute.rpartition(".")
    return getattr(getattr(flow, place) if place else flow, name)


def is_given(flow: FlexFlow, each: Field) -> bool:
    """Return whether a flow has another value than the default for one of `FIELDS`."""
    return bool(value_of(flow, each.attribute) != _default(each, flow.integration.type))


def _default(each: Field, integration_type: str) -> Any:
    if each.wire == "Response":
        return default_response(integration_type)
    return default_retry_policy(integration_type) if each.wire == "Integration.RetryPolicy" else each.default
