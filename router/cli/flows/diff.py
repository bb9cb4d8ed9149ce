"""`router flows diff`: how the Flex Flows here differ from a file, or from the live account at Twilio."""

import sys
from dataclasses import asdict
from typing import Any, TextIO

import click

from router.cli.context import load_settings_for_cli
from router.cli.flows.changes import current_flows, described, named, read_flow_file
from router.cli.flows.import_live import compare_live, print_left_out
from router.cli.flows.live import Comparison
from router.cli.output import clean, print_changes, print_json
from router.cli.reach import account_option, json_option, one_account, open_store
from router.errors import RouterError
from router.flow.diff import diff as difference
from router.flow.warning import Surroundings, of_flow
from router.settings import Settings

_DIFFERS, _TROUBLE = 1, 2  # as diff(1) has it


@click.command()
@click.argument("file", type=click.File(encoding="utf-8"), required=False)
@click.option("--live", is_flag=True, help="Compare with the account at Twilio.")
@account_option
@json_option
def diff(*, file: TextIO | None, live: bool, account: str | None, as_json: bool) -> None:
    """Show how the Flex Flows here differ from FILE, or from the live account.

    \b
      router flows diff flows.toml     what `apply --prune` would do
      router flows diff --live         what has drifted since `import`

    Exits with 0 when nothing differs, with 1 when something does, with 2 when it cannot be told. Flows that Twilio has
    no form for (a Language, a Match, a proxy, a handler) are no drift.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if (file is not None) == live:
        raise click.UsageError("name a FILE, or say --live")
    try:
        settings = load_settings_for_cli()
        with open_store(settings) as store:
            which = one_account(settings, account)
            if file is None:
                found = compare_live(which, settings, store)
            else:
                wanted = read_flow_file(file, settings, which.sid)
                changes = difference(current_flows(store, which.sid), wanted, prune=True)
                found = Comparison(len(wanted), changes, (), ())
    except RouterError as error:
        click.echo(f"router: {error}", err=True)
        sys.exit(_TROUBLE)
    if as_json:
        print_json(_json(found))
    else:
        _print(found, settings, "Twilio" if file is None else clean(file.name))
    sys.exit(0 if found.same else _DIFFERS)


def _print(found: Comparison, settings: Settings, other: str) -> None:
    around = Surroundings.of(settings)
    if found.same:
        click.echo(f"No difference: {found.read:,} flows, here as in {other}.")
    if found.changes:
        print_changes(found.changes, lambda flow: of_flow(flow, around))
    print_left_out(found)
    for flow in found.only_here:
        click.echo(
            clean(f"< only here  {flow.sid}  {flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}”")
        )


def _json(found: Comparison) -> dict[str, Any]:
    return {
        "same": found.same,
        "changes": described(found.changes),
        "left_out": [asdict(each) for each in found.left_out],
        "only_here": [named(flow) for flow in found.only_here],
    }
