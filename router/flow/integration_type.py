"""The table of the integration types.

A new integration type is a row here, and a module of the same name in router/integrations. config/flows.toml must have
a complete flow of each type for operators to copy, which a test checks. Parameters that only one type uses are rows of
router/flow/parameter.py. A parameter that it shares with another type, such as Integration.Url, must be in its `needs`,
or have the type in its `types`; otherwise flows of the type lose the value.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class IntegrationType:
    """An integration type.

    Args:
        name: as in `IntegrationType`.
        targets: the attributes of `Integration` that name its target; a flow has one of them at most.
        needs: the parameters that a flow of this type must have; it uses them whatever `types` they list.
        relays: whether the default `Response` is `relay`, because its target answers with TwiML.
        repeats: whether a message with an unknown outcome is sent again by default: the target is the user's own code,
            or the router first looks for the result of the first attempt.
        redirects: whether its target has a URL that Twilio itself can call.
        takes_web: whether this version can deliver web chats to it.
        chats_at_twilio: whether its web chats are in Conversations at Twilio, where agents answer them; otherwise they
            are in the router.
        separate: whether each of its targets has its own circuit breaker and its own share of the deliveries; otherwise
            all flows of the type have one target, which is Twilio.
    """

    name: str
    targets: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    relays: bool = False
    repeats: bool = False
    redirects: bool = False
    takes_web: bool = False
    chats_at_twilio: bool = False
    separate: bool = False


_TABLE: Final = (
    IntegrationType(
        "studio",
        ("flow_sid",),
        ("Integration.FlowSid",),
        relays=True,
        redirects=True,
        takes_web=True,
        chats_at_twilio=True,
    ),
    IntegrationType(
        "external",
        ("url",),
        ("Integration.Url",),
        relays=True,
        repeats=True,
        redirects=True,
        takes_web=True,
        separate=True,
    ),
    IntegrationType(
        "task",
        ("workflow_sid",),
        ("Integration.WorkspaceSid", "Integration.WorkflowSid"),
        repeats=True,
        takes_web=True,
        chats_at_twilio=True,
    ),
    IntegrationType("proxy", ("proxy_service_sid",), redirects=True),
    IntegrationType(
        "handler", ("handler",), ("Integration.Handler",), relays=True, repeats=True, takes_web=True, separate=True
    ),
    IntegrationType("conversation", ("flow_sid", "url"), repeats=True, takes_web=True, chats_at_twilio=True),
)
INTEGRATION_TYPES: Final = MappingProxyType({each.name: each for each in _TABLE})
_UNKNOWN: Final = IntegrationType("")


def integration_type(name: str) -> IntegrationType:
    """Return a type by its name; for an unknown type, of a newer version, one whose values are all false."""
    return INTEGRATION_TYPES.get(name, _UNKNOWN)
