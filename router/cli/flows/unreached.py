"""Flows that would never take a message, said before a flow file is applied."""

import sys
from collections.abc import Iterable, Sequence

import click

from router.cli.flows.changes import named
from router.cli.output import clean
from router.cli.terminal import unguarded
from router.flow.diff import Change
from router.flow.file import FileFlow, address_of
from router.flow.flex_flow import FlexFlow
from router.flow.unreachable import unreachable

_SHOWN = 20


def unreached(
    current: Iterable[FlexFlow], changes: Sequence[Change], wanted: Iterable[FileFlow]
) -> list[dict[str, str]]:
    """Find flows that never take a message, once the changes are made, at the addresses of a flow file.

    Returns: for each what names it, and `warning`.

    """
    addresses = {address_of(each.flow) for each in wanted}
    flows = {flow.sid: flow for flow in current}
    for change in changes:
        if change.before:
            flows.pop(change.before.sid, None)
        if change.after:
            flows[change.after.sid] = change.after
    found = unreachable(flow for flow in flows.values() if address_of(flow) in addresses)
    return [{**named(flows[sid]), "warning": why} for sid, why in found]


def print_unreached(warnings: Sequence[dict[str, str]]) -> None:
    """Print a line for each warning, or the first ones of very many."""
    for each in warnings[:_SHOWN]:
        line = f"! {each['channel_type']} {each['contact_identity']}  “{each['friendly_name']}” {each['warning']}"
        click.secho(clean(line), fg="yellow", file=unguarded(sys.stdout))
    if len(warnings) > _SHOWN:
        more = f"! … and {len(warnings) - _SHOWN:,} more that take no message"
        click.secho(more, fg="yellow", file=unguarded(sys.stdout))
