"""Prints the warnings about valid flows that probably do not work as intended."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from router.cli.flows.changes import named
from router.cli.output import console, styled
from router.errors import RouterError
from router.flow.diff import Change, applied
from router.flow.file import FileFlow
from router.flow.flex_flow import FlexFlow
from router.flow.warning import Surroundings, Warned, of_addresses, of_flows, of_settings, sharing
from router.settings import Settings
from router.twilio_api.connections import Connections, addresses_of

_SHOWN: Final = 20


def foreseen(
    current: Iterable[FlexFlow], changes: Sequence[Change], wanted: Iterable[FileFlow], around: Surroundings
) -> list[Warned]:
    """Return the warnings about the settings, the addresses of a flow file, and connected numbers without a flow.

    The flows of the addresses are those after the changes.
    """
    after = applied(current, changes)
    found = of_flows(sharing(after, [each.flow for each in wanted]), around, others=after)
    return [*of_settings(around.settings), *found, *of_addresses(connected(around.settings), after)]


def connected(settings: Settings) -> list[tuple[str, str]]:
    """Return the addresses that `router connect` and `tunnel` have connected, as channel and identity."""
    try:
        return addresses_of(Connections(settings.data_dir).read())
    except RouterError:  # a damaged record, which `router doctor` reports
        return []


def described(warnings: Iterable[Warned]) -> list[dict[str, Any]]:
    """Return warnings as JSON shows them."""
    return [
        {**(named(each.flow) if each.flow else {}), "warning": each.text, "advice": each.advice} for each in warnings
    ]


def print_warnings(warnings: Sequence[Warned]) -> None:
    """Print a line for each warning, at most twenty."""
    for each in warnings[:_SHOWN]:
        flow = each.flow
        subject = f"{flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}” " if flow else ""
        line = f"! {subject}{each}"
        console().print(styled(line, "fault" if each.fault else "warning"), soft_wrap=True)
    if len(warnings) > _SHOWN:
        more = f"! … and {len(warnings) - _SHOWN:,} more; `router doctor` lists those of all flows"
        console().print(styled(more, "warning"), soft_wrap=True)
