"""What commands say of flows that may not do what is meant."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from router.cli.flows.changes import named
from router.cli.output import clean
from router.flow.diff import Change
from router.flow.file import FileFlow
from router.flow.flex_flow import FlexFlow
from router.flow.warning import Surroundings, Warned, of_flows, sharing

_SHOWN: Final = 20


def foreseen(
    current: Iterable[FlexFlow], changes: Sequence[Change], wanted: Iterable[FileFlow], around: Surroundings
) -> list[Warned]:
    """Tell what is to be known, once the changes are made, of the enabled flows at the addresses of a flow file."""
    flows = {flow.sid: flow for flow in current}
    for change in changes:
        if change.before:
            flows.pop(change.before.sid, None)
        if change.after:
            flows[change.after.sid] = change.after
    return of_flows(sharing(flows.values(), [each.flow for each in wanted]), around)


def described(warnings: Iterable[Warned]) -> list[dict[str, Any]]:
    """Write warnings as JSON shows them."""
    return [{**named(each.flow), "warning": each.text, "advice": each.advice} for each in warnings]


def print_warnings(warnings: Sequence[Warned]) -> None:
    """Print a line for each warning, or the first ones of very many."""
    for each in warnings[:_SHOWN]:
        flow = each.flow
        line = f"! {flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}” {each}"
        click.secho(clean(line), fg="red" if each.fault else "yellow")
    if len(warnings) > _SHOWN:
        click.secho(f"! … and {len(warnings) - _SHOWN:,} more; `router doctor` tells of all flows", fg="yellow")
