"""The end of a migration: the old flow is disabled, and the flow in its MigrateTo takes its messages."""

from typing import Final

from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow

# The Match of a flow that takes no message by itself, but takes over contacts.
STANDBY: Final = "false"


def has_succeeded(new: FlexFlow, old: FlexFlow) -> bool:
    """Return whether `new` takes all messages of the address in place of `old`."""
    return (
        old.migrate_to == new.sid
        and not old.enabled
        and new.enabled
        and new.match != STANDBY
        and address_of(new) == address_of(old)
    )
