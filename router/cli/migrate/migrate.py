"""`router migrate`: moves the contacts of Flex Proxy, or of any flow, to another flow one by one, without an outage."""

import sys
import time
from dataclasses import asdict
from typing import Final

import click

from router.cli.doctor.findings import print_checks
from router.cli.here import Here, with_here
from router.cli.migrate.hand_over import hand_over
from router.cli.migrate.progress import print_way
from router.cli.options import Group, json_option, moment
from router.cli.output import print_facts, print_json
from router.errors import RouterError
from router.queries import migration_steps as steps
from router.queries.checks.migration import checks
from router.queries.migration import way
from router.queries.shadow import shadow as shadow_of

_BY: Final = "router migrate"
_flow = click.argument("sid", metavar="FO…")


@click.group(cls=Group)
def migrate() -> None:
    """Move contacts of a flow to another flow (for example from Proxy to Conversations), step by step, and back.

    \b
      router migrate check FO3f2a9c1b --to FO9c1b07e4     whether everything is in place; nothing is changed
      router migrate start FO3f2a9c1b --to FO9c1b07e4     name the flow that takes over; no contact moves
      router migrate shadow FO3f2a9c1b --since 7d         how many contacts would move, at which share
      router migrate share FO3f2a9c1b 10                  10 % of the new contacts move
      router migrate drain FO3f2a9c1b                     all others too, unless they are in a session
      router migrate all FO3f2a9c1b                       the old flow is disabled, and kept
      router migrate hand-over FO3f2a9c1b                 Twilio makes the Conversations by itself, if you want that
      router migrate back FO3f2a9c1b                      one step back
      router migrate status FO3f2a9c1b                    counts, and what happens next

    docs/leaving-proxy.md explains each step.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


migrate.add_command(hand_over)


@migrate.command()
@_flow
@json_option
@with_here
def status(here: Here, *, sid: str, as_json: bool) -> None:
    """Show how far a migration is, with counts, and what happens next."""
    print_way(way(here.flow(sid), here.store), as_json=as_json)


@migrate.command()
@_flow
@click.option("--to", metavar="FO…", help="The flow that will take over; not necessary after `start`.")
@json_option
@with_here
def check(here: Here, *, sid: str, to: str | None, as_json: bool) -> None:
    """Check whether everything is in place: flows, webhook, Studio's trigger, Messaging Service, opt-outs, sessions.

    Nothing is changed. The exit status is 1 when something has to be repaired first.
    """
    old = here.flow(sid)
    new = here.flow(to or old.migrate_to) if to or old.migrate_to else None
    if new is None:
        raise RouterError(
            f"{old.sid} names no other flow in MigrateTo: name the flow that will take over with --to FO…"
        )
    found = list(checks(here.settings, here.account_of(old.account_sid), (old, new), here.store))
    good = all(each.state != "bad" for each in found)
    if as_json:
        print_json({"good": good, "checks": [asdict(each) for each in found]})
    else:
        print_checks(found)
    sys.exit(0 if good else 1)


@migrate.command()
@_flow
@click.option("--to", required=True, metavar="FO…", help="The flow of the same address that takes over.")
@json_option
@with_here
def start(here: Here, *, sid: str, to: str, as_json: bool) -> None:
    """Name the flow that takes over, and begin to list the sessions of Proxy; no contact moves.

    The flow of --to must have the same channel and address, be enabled, and have match = "false".
    """
    old, new = here.flow(sid), here.flow(to)
    print_way(steps.start(old, new.sid, here.store, by=_BY, now=int(time.time())), as_json=as_json)


@migrate.command()
@_flow
@click.option("--since", type=moment, default="1d", metavar="AGE|TIME", help="Count messages since then. [1d]")
@json_option
@with_here
def shadow(here: Here, *, sid: str, since: int, as_json: bool) -> None:
    """Show how many contacts of past messages would move at which share. Nothing is changed or sent."""
    found = shadow_of(here.flow(sid), here.store, since=since)
    if as_json:
        print_json(
            {
                "messages": found.messages,
                "contacts": found.contacts,
                "in_session_or_unknown": found.in_session,
                "by_percent": {str(percent): count for percent, count in found.by_share.items()},
            }
        )
        return
    shares = [f"at {percent} %: {count:,}" for percent, count in found.by_share.items()]
    print_facts(
        [
            ("Messages", f"{found.messages:,}"),
            ("Contacts", f"{found.contacts:,}"),
            ("Would stay now", f"{found.in_session:,}, in a session of Proxy, or not known yet"),
            ("Would move", shares),
        ]
    )


@migrate.command()
@_flow
@click.argument("percent", type=click.IntRange(0, 99))
@json_option
@with_here
def share(here: Here, *, sid: str, percent: int, as_json: bool) -> None:
    """Let a percentage of the new and idle contacts move, chosen by a hash. A contact that has moved stays there."""
    print_way(steps.share(here.flow(sid), percent, here.store, by=_BY, now=int(time.time())), as_json=as_json)


@migrate.command()
@_flow
@json_option
@with_here
def drain(here: Here, *, sid: str, as_json: bool) -> None:
    """Let every contact move with its next message, unless it is in a session of Proxy."""
    print_way(steps.drain(here.flow(sid), here.store, by=_BY, now=int(time.time())), as_json=as_json)


@migrate.command("all")
@_flow
@click.option("--force", is_flag=True, help="Do it even if contacts are in sessions, or messages wait.")
@json_option
@with_here
def all_(here: Here, *, sid: str, force: bool, as_json: bool) -> None:
    """Let the new flow take all messages of the address. The old flow is disabled, and kept."""
    print_way(steps.everything(here.flow(sid), here.store, by=_BY, now=int(time.time()), force=force), as_json=as_json)


@migrate.command()
@_flow
@json_option
@with_here
def back(here: Here, *, sid: str, as_json: bool) -> None:
    """Go one step back. Contacts that moved finish where they are."""
    flow = here.flow(sid)
    if not flow.migrate_to:
        raise RouterError(f"{flow.sid} is not migrated: there is no step to go back")
    print_way(steps.back(flow, here.store, by=_BY, now=int(time.time())), as_json=as_json)
