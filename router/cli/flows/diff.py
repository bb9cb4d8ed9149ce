"""`router flows diff`: compares the Flex Flows of the router with a file, or with the account at Twilio."""

import sys
from dataclasses import asdict
from typing import TextIO

import click

from router.cli.flows.changes import described, named, print_changes
from router.cli.flows.flow_file import current_flows, read_flow_file
from router.cli.flows.live import compare_live, print_left_out
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import print_json
from router.cli.terminal import say
from router.errors import RouterError
from router.flow.diff import diff as difference
from router.flow.warning import of_flow
from router.printable import clean
from router.queries.live_flows import Comparison

_DIFFERS, _TROUBLE = 1, 2  # as of diff(1)


@click.command()
@click.argument("file", type=click.File(encoding="utf-8"), required=False)
@click.option("--live", is_flag=True, help="Compare with the account at Twilio.")
@json_option
@with_here
def diff(here: Here, *, file: TextIO | None, live: bool, as_json: bool) -> None:
    """Compare the Flex Flows of the router with FILE, or with the account at Twilio.

    \b
      router flows diff flows.toml     what `apply --prune` would change
      router flows diff --live         what has changed since `import`

    The exit status is 0 if there is no difference, 1 if there is one, and 2 if they could not be compared. Flows that
    Twilio cannot have (with a Language or a Match, for a proxy or a handler) are not compared.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if (file is not None) == live:
        raise click.UsageError("Name a FILE, or use --live.")
    try:
        owner = here.account
        if file is None:
            found = compare_live(here)
        else:
            wanted = read_flow_file(file, here.settings, owner.sid)
            changes = difference(current_flows(here.store, owner.sid), wanted, prune=True)
            found = Comparison(len(wanted), changes, (), ())
    except RouterError as error:
        say(str(error))
        sys.exit(_TROUBLE)
    if as_json:
        left_out, only_here = [asdict(each) for each in found.left_out], [named(flow) for flow in found.only_here]
        changed = described(found.changes)
        print_json({"same": found.same, "changes": changed, "left_out": left_out, "only_here": only_here})
        sys.exit(0 if found.same else _DIFFERS)
    if found.same:
        other = "Twilio" if file is None else clean(file.name)
        click.echo(f"No difference: the same {found.read:,} flows here and in {other}.")
    if found.changes:
        around = here.around
        print_changes(found.changes, lambda flow: of_flow(flow, around))
    print_left_out(found.left_out)
    for flow in found.only_here:
        line = f"< only here  {flow.sid}  {flow.channel_type} {flow.contact_identity}  “{flow.friendly_name}”"
        click.echo(clean(line))
    sys.exit(0 if found.same else _DIFFERS)
