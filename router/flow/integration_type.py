"""The integration types: a new one is a row here, and a module in router/integrations, listed in its `build`.

Parameters that only one type uses are rows of router/flow/parameter.py.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class IntegrationType:
    """An integration type, and what is true of each flow that has it.

    Args:
        name: as in `IntegrationType`.
        target: the attribute of `Integration` that names where its messages go; "" where none does.
        needs: the parameters that a flow of this type cannot be without.
        relays: the default `Response` is `relay`, because its target answers with TwiML.
        repeats: a message whose outcome is unknown may be sent again by default: the target is known to be the user's
            own code, or the router looks for what the first attempt left before it repeats it.
        redirects: its target has a URL that Twilio itself can call.
        takes_web: this version can deliver web chats to it.
        separate: each of its targets has its own circuit breaker and its own share of the deliveries; else all flows
            of the type have one target, which is Twilio.
    """

    name: str
    target: str = ""
    needs: tuple[str, ...] = ()
    relays: bool = False
    repeats: bool = False
    redirects: bool = False
    takes_web: bool = False
    separate: bool = False


_TABLE: Final = (
    IntegrationType("studio", "flow_sid", ("Integration.FlowSid",), relays=True, redirects=True, takes_web=True),
    IntegrationType(
        "external",
        "url",
        ("Integration.Url",),
        relays=True,
        repeats=True,
        redirects=True,
        takes_web=True,
        separate=True,
    ),
    IntegrationType(
        "task",
        "workflow_sid",
        ("Integration.WorkspaceSid", "Integration.WorkflowSid"),
        repeats=True,
        takes_web=True,
    ),
    IntegrationType("proxy", "proxy_service_sid", redirects=True),
    IntegrationType(
        "handler", "handler", ("Integration.Handler",), relays=True, repeats=True, takes_web=True, separate=True
    ),
    IntegrationType("conversation", repeats=True, takes_web=True),
)
INTEGRATION_TYPES: Final = MappingProxyType({each.name: each for each in _TABLE})
_UNKNOWN: Final = IntegrationType("")


def integration_type(name: str) -> IntegrationType:
    """Return a type by its name; one that a newer version wrote into the store has nothing that is true of it."""
    return INTEGRATION_TYPES.get(name, _UNKNOWN)
