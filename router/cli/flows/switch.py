"""`router flows pause`, `resume`, `enable`, `disable` and `remove`: change one flow or several."""

import time
from collections.abc import Callable
from typing import Any, Final

import click

from router.cli.confirm import confirm, yes_option
from router.cli.flows.changes import named
from router.cli.flows.languages import await_languages
from router.cli.flows.warnings import described, print_warnings
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import flow_line, print_json
from router.errors import RouterError
from router.flow.diff import Change
from router.flow.flex_flow import FlexFlow
from router.printable import clean
from router.queries import flow_state
from router.queries.flow_state import Switch, Switched
from router.queries.flow_warnings import around_address

_HELP: Final[dict[Switch, str]] = {
    "pause": """Pause Flex Flows: their messages wait, in order, until `router flows resume`.

    The router still accepts the messages, and the pause does not count for their ValidityPeriod.""",
    "resume": """Resume paused Flex Flows: send the messages that wait, in order, and new ones.""",
    "enable": """Enable Flex Flows: they take messages again.""",
    "disable": """Disable Flex Flows: messages go to another flow of the address, or are unrouted.

    Messages that wait for a disabled flow become unrouted, and can be replayed. To let them wait, pause the flow.""",
}


def _command(which: Switch) -> click.Command:
    @click.command(which, help=_HELP[which])
    @click.argument("sids", metavar="FO…...", nargs=-1, required=True)
    @json_option
    @with_here
    def command(here: Here, *, sids: tuple[str, ...], as_json: bool) -> None:
        def switch(flow: FlexFlow) -> Switched | None:
            by = f"router flows {which}"
            return flow_state.switch(flow, which, here.store, by=by, now=int(time.time()))

        _each(here, sids, switch, as_json=as_json)

    return command


SWITCHES: Final = tuple(_command(which) for which in flow_state.SWITCHES)


@click.command()
@click.argument("sids", metavar="FO…...", nargs=-1, required=True)
@yes_option
@json_option
@with_here
def remove(here: Here, *, sids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove Flex Flows.

    \b
      router flows remove FO3f2a9c1b
      router flows remove FO… FO… --yes

    Messages that wait for a removed flow become unrouted, and can be replayed. On a terminal the command asks;
    elsewhere it needs --yes.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if not yes:
        flows = [here.flow(sid) for sid in sids]
        for flow in flows if not as_json else ():
            click.echo(f"- {clean(flow_line(flow))}\n  {flow_state.losing(flow, here.store)}.")
        question = "Remove it?" if len(flows) == 1 else "Remove them?"
        confirm(question, refusal="nothing was removed", program=as_json)
    _each(
        here,
        sids,
        lambda flow: flow_state.remove(flow, here.store, by="router flows remove"),
        as_json=as_json,
    )


def _each(here: Here, sids: tuple[str, ...], action: Callable[[FlexFlow], Switched | None], *, as_json: bool) -> None:
    """Change flows, and print the consequences."""
    around, results = here.around, list[dict[str, Any]]()
    for before in [here.flow(sid) for sid in dict.fromkeys(sids)]:
        done = action(before)
        if done is None:
            raise RouterError(f"{before.sid} was removed in the meantime")
        read, warnings = "", []
        if done.left:
            _, read = await_languages(here.store, [Change(before, done.flow)])
            warnings = around_address(done.flow, here.store, around)
        if as_json:
            results.append(
                named(done.flow)
                | {"changed": done.changed, "said": f"{done.meaning}. {read}".rstrip(), "warnings": described(warnings)}
            )
        else:
            same = "" if done.changed else "Nothing to change. "
            click.echo(f"{clean(flow_line(done.flow))}\n  {same}{done.meaning}. {read}".rstrip())
            print_warnings(warnings)
    if as_json:
        print_json(results)
