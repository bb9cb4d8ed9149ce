"""What the answer to a write says beside the flow: those of its address that can never be chosen now."""

from router.errors import StoreUnavailable
from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.unreachable import unreachable
from router.store import Store


def warnings(store: Store, written: FlexFlow) -> list[str]:
    """Say which flows of a flow's address never take a message, and why; nothing if the store is away by now."""
    try:
        (entry,) = store.flows.entries(written.account_sid, (written.contact_identity,))
    except StoreUnavailable:  # what was asked for has been done
        return []
    sharing = [flow for flow in entry.flows if address_of(flow) == address_of(written)]
    names = {flow.sid: flow.friendly_name for flow in sharing}
    return [f"{names[sid]!r} ({sid}) {why}" for sid, why in unreachable(sharing)]
