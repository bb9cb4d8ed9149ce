"""What commands say about flows that are valid and may not do what is meant."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from router.cli.flows.changes import named
from router.cli.output import console, styled
from router.flow.diff import Change, applied
from router.flow.file import FileFlow
from router.flow.flex_flow import FlexFlow
from router.flow.warning import Surroundings, Warned, of_flows, sharing

_SHOWN: Final = 20


def foreseen(
    current: Iterable[FlexFlow], changes: Sequence[Change], wanted: Iterable[FileFlow], around: Surroundings
) -> list[Warned]:
    """Return the warnings about the enabled flows at the addresses of a flow file, once the changes are made."""
    return of_flows(sharing(applied(current, changes), [each.flow for each in wanted]), around)


def described(warnings: Iterable[Warned]) -> list[dict[str, Any]]:
    """Write warnings as JSON shows them."""
    return [{**named(each.flow), "warning": each.text, "advice": each.advice} for each in warnings]


def print_warnings(warnings: Sequence[Warned]) -> None:
    """Print a line for each warning, or the first ones of very many."""
    for each in warnings[:_SHOWN]:
        flow = each.flow
        line = f"! {flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}” {each}"
        console().print(styled(line, "fault" if each.fault else "warning"), soft_wrap=True)
    if len(warnings) > _SHOWN:
        more = f"! … and {len(warnings) - _SHOWN:,} more; `router doctor` lists those of all flows"
        console().print(styled(more, "warning"), soft_wrap=True)
