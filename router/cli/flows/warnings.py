"""What is allowed in a flow and will all the same deliver nothing: said before it is written, never refused."""

from collections.abc import Collection, Iterator
from typing import Final

from router.flow.flex_flow import FlexFlow
from router.language.detector import language_of
from router.settings import Account
from router.store.languages import NOT_LOADED

# Integration types that a flow may have and that no sender delivers to yet.
NOT_DELIVERED_TO: Final = ("task", "conversation")


def doubts(flow: FlexFlow, account: Account, loaded: Collection[str] | None = None) -> tuple[str, ...]:
    """Return why messages for a flow would not be delivered, or not find it, each with what to do.

    `loaded` are the languages whose texts the running router can read; None where nobody asked it.
    """
    found = [*_languages(flow, loaded)]
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


def _languages(flow: FlexFlow, loaded: Collection[str] | None) -> Iterator[str]:
    mute = [tag for tag in flow.language if not language_of(tag)]
    if mute:
        yield (
            f"nothing tells {', '.join(mute)} in a text: it takes messages of contacts who chose it, of webhooks with "
            "?lang=, and by the country of the number"
        )
    if loaded is None:
        return
    later = [tag for tag in flow.language if tag not in mute and tag.partition("-")[0] not in loaded]
    if later:
        yield f"{', '.join(later)}: {NOT_LOADED}"
