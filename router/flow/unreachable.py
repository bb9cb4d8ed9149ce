"""Finds flows that can never receive a message: configuration mistakes that cause no error."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from router.errors import ExpressionError
from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.match import VARIABLES, Expression, compile_expression
from router.sid import is_sid

_ALL: Final = 100


@dataclass(frozen=True, slots=True)
class _Checked:
    """A flow, and the answer of its Match for every message: None if it depends on the message, True without Match."""

    flow: FlexFlow
    expression: Expression | None
    answer: bool | None

    @property
    def turn(self) -> tuple[bool, int, bool, int, str]:
        """The sort key of the order in which `router.routing.resolve` checks the flows."""
        flow = self.flow
        return flow.is_default, flow.priority, not flow.match, flow.date_created, flow.sid

    @property
    def takes_opt_outs(self) -> bool:
        """Whether it takes opt-out words: a Match does only if it uses `opt_out_type`."""
        return not self.expression or "opt_out_type" in self.expression.names

    def is_met_wherever(self, other: "_Checked") -> bool:
        """Return whether every message that meets the other flow's Match meets this one's, except opt-out words."""
        same = self.expression and other.expression and self.expression.words == other.expression.words
        return bool(self.answer or same)


def unreachable(flows: Iterable[FlexFlow]) -> list[tuple[str, str]]:
    """Find the enabled flows that can never be chosen among those of their address.

    Args:
        flows: flows of one account, of any addresses and channels.

    Returns: the SID of each, and the reason.

    """
    enabled = sorted((flow for flow in flows if flow.enabled), key=address_of)
    return [found for _, group in groupby(enabled, key=address_of) for found in _of_address(tuple(group))]


def takes_all(flow: FlexFlow) -> bool:
    """Return whether every message for its address meets a flow's Match, or it has no Match."""
    try:
        return not flow.match or _answer(flow, compile_expression(flow.match)) is True
    except ValueError:
        return False


def _of_address(flows: Sequence[FlexFlow]) -> Iterator[tuple[str, str]]:
    taking_over = {flow.migrate_to for flow in flows}
    checked: list[_Checked] = []
    for flow in flows:
        try:
            expression = compile_expression(flow.match) if flow.match else None
        except ValueError as error:
            yield flow.sid, f"takes no message: its Match does not compile, {error}"
            continue
        answer = _answer(flow, expression) if expression else True
        if answer is False and flow.sid in taking_over:
            continue
        if answer is False:
            yield (
                flow.sid,
                "takes no message: its Match is never true, and no flow of its address names it in MigrateTo",
            )
            continue
        checked.append(_Checked(flow, expression, answer))
    checked.sort(key=lambda each: each.turn)
    for place, each in enumerate(checked):
        before = _before(each, checked[:place])
        if before:
            yield each.flow.sid, _reason(each, before)


def _reason(each: _Checked, before: Sequence[_Checked]) -> str:
    names = " and ".join(f"{other.flow.friendly_name!r} ({other.flow.sid})" for other in before)
    take = "take" if len(before) > 1 else "takes"
    if each.takes_opt_outs and not all(other.takes_opt_outs for other in before):
        return f"takes only opt-out words: {names} {take} all others first"
    return f"takes no message: {names} {take} them first"


def _before(each: _Checked, earlier: Sequence[_Checked]) -> list[_Checked]:
    """Return the earlier flows that together take all messages of a flow; empty if some messages are left for it."""
    wanted = set(each.flow.language)
    taking = []
    for other in earlier:
        if not other.is_met_wherever(each):
            continue
        if not other.flow.language:
            return [other]
        if wanted & set(other.flow.language):
            taking.append(other)
            wanted -= set(other.flow.language)
    return taking if each.flow.language and not wanted else []


def _answer(flow: FlexFlow, expression: Expression) -> bool | None:
    """Return the answer of a Match for every message to the flow's address; None if it depends on the message."""
    known: dict[str, Any] = {"channel": flow.channel_type}
    if flow.contact_identity != "*" and not is_sid(flow.contact_identity, "MG"):
        known["to"] = flow.contact_identity
    if expression.names & VARIABLES.keys() - known.keys():
        return None
    # Between two of its shares, the answer is the same for all contacts.
    buckets = {0.0, *(share for share in expression.shares if share < _ALL)}
    answers = {_is_met(expression, known, bucket) for bucket in buckets}
    return answers.pop() if len(answers) == 1 else None


def _is_met(expression: Expression, known: dict[str, Any], bucket: float) -> bool:
    try:
        return expression.matches(known, bucket)
    except ExpressionError:
        return False
