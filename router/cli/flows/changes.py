"""Shows changes of Flex Flows: in detail for people, as JSON for programs."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from rich.text import Text

from router.cli.output import console, integration_line, styled
from router.flow.diff import Change
from router.flow.flex_flow import FlexFlow
from router.printable import clean

_SHOWN: Final = 100  # changes that are shown one by one
_MARKS: Final = {"add": "+", "change": "~", "remove": "-"}


def print_changes(changes: Sequence[Change], warnings: Callable[[FlexFlow], Sequence[object]]) -> None:
    """Print the changes, the first ones in detail with the warnings about their flows, and their numbers."""
    out = console()
    warned = {each.after.sid: found for each in changes if each.after and (found := warnings(each.after))}
    for change in changes[:_SHOWN]:
        flow, kind = change.flow, change.kind
        sid = f"{flow.sid}  " if change.before else ""  # a new one may have none yet
        line = f"{_MARKS[kind]} {kind:6}  {sid}{flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}”"
        out.print(styled(line, kind), soft_wrap=True)
        if kind == "add":
            out.print(Text(clean(f"    {integration_line(flow)}, {flow.response}")), soft_wrap=True)
        for each in change.differences() if kind == "change" else ():
            line = f"    {each.key}: {value_text(each.before)} → {value_text(each.after)}"
            out.print(Text(clean(line)), soft_wrap=True)
        for warning in warned.get(flow.sid, ()):
            out.print(styled(f"    ! {warning}", "warning"), soft_wrap=True)
    if len(changes) > _SHOWN:
        out.print(f"… and {len(changes) - _SHOWN:,} more")
    counts = Counter[str](change.kind for change in changes)
    out.print(", ".join(f"{counts[kind]:,} to {kind}" for kind in _MARKS if counts[kind]))
    if warned:
        out.print(styled(f"! Flows with warnings: {len(warned):,}; see the lines with !", "warning"))


def described(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return changes as JSON shows them."""
    return [
        named(change.flow)
        | {
            "kind": change.kind,
            "fields": {
                each.key: {"before": _listed(each.before), "after": _listed(each.after)}
                for each in change.differences()
                if change.kind == "change" or not each.secret
            },
        }
        for change in changes
    ]


def named(flow: FlexFlow) -> dict[str, Any]:
    """Return the values that identify a flow."""
    return {
        "sid": flow.sid,
        "channel_type": flow.channel_type,
        "contact_identity": flow.contact_identity,
        "friendly_name": flow.friendly_name,
    }


def value_text(value: object) -> str:
    """Return a value of a flow on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ", ".join(value) or "none"
    return str(value or "none")


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
