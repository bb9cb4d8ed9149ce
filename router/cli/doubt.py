"""What is allowed in a flow and will all the same deliver nothing: said before it is written, never refused."""

from typing import Final

from router.flow import FlexFlow
from router.settings import Account

# Integration types that a flow may have and that no sender delivers to yet.
NOT_DELIVERED_TO: Final = ("task", "conversation")


def doubts(flow: FlexFlow, account: Account) -> tuple[str, ...]:
    """Return why messages for a flow would not be delivered, each with what to do; nothing when they would be."""
    found = []
    kind = flow.integration.type
    if kind in NOT_DELIVERED_TO:
        found.append(
            f"{kind} cannot be delivered to yet: its messages become undelivered. Choose another integration_type, or "
            "set paused = true and they wait"
        )
    if kind == "proxy" and not (flow.integration.proxy_service_sid or account.proxy_service_sid):
        found.append(
            "no Proxy service is named: its messages become undelivered. Give the flow integration.proxy_service_sid, "
            "or the account proxy_service_sid in the file of ROUTER_CONFIG"
        )
    return tuple(found)
