"""`router migrate`: moves the contacts of Flex Proxy, or of any flow, to another flow one by one, without an outage."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

import click

from router.cli.doctor.doctor import print_checks
from router.cli.here import Here, with_here
from router.cli.options import Group, Moment, json_option
from router.cli.output import Facts, flow_line, number, print_facts, print_json
from router.errors import RouterError
from router.queries import migration
from router.queries.checks.migration import checks
from router.queries.hand_over import WAIT_SECONDS, perform, prepare
from router.queries.migration import BACK, NEXT, Phase, Way

_BY: Final = "router migrate"
# For each phase the commands that can follow, with what they do.
_FOLLOWING: Final[Mapping[Phase, Sequence[tuple[str, str]]]] = {
    "none": (("start {} --to FO…", "names the flow that takes over; no contact moves"),),
    "shadow": (
        ("check {}", "checks whether everything is in place"),
        ("shadow {}", "shows how many contacts would move at which share"),
        ("share {} 10", "lets 10 % of the new contacts move"),
    ),
    "share": (("share {} N", "changes the share"), ("drain {}", "lets all others move, too")),
    "drain": (("all {}", "ends it, once no contact is in a session of Proxy"),),
    "all": (("hand-over {}", "shows how Twilio can make the Conversations by itself"),),
}
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


@migrate.command()
@_flow
@json_option
@with_here
def status(here: Here, *, sid: str, as_json: bool) -> None:
    """Show how far a migration is, with counts, and what happens next."""
    _print(migration.way(here.flow(sid), here.store), as_json=as_json)


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
    account = here.settings.account(old.account_sid)
    if account is None:
        raise RouterError(f"account {old.account_sid} is not in the settings")
    found = list(checks(here.settings, account, (old, new), here.store))
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
    _print(migration.start(old, new.sid, here.store, by=_BY, now=_now()), as_json=as_json)


@migrate.command()
@_flow
@click.option("--since", type=Moment(), default="1d", metavar="AGE|TIME", help="Count messages since then. [1d]")
@json_option
@with_here
def shadow(here: Here, *, sid: str, since: int, as_json: bool) -> None:
    """Show how many contacts of past messages would move at which share. Nothing is changed or sent."""
    found = migration.shadow(here.flow(sid), here.store, since=since)
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
    _print(migration.share(here.flow(sid), percent, here.store, by=_BY, now=_now()), as_json=as_json)


@migrate.command()
@_flow
@json_option
@with_here
def drain(here: Here, *, sid: str, as_json: bool) -> None:
    """Let every contact move with its next message, unless it is in a session of Proxy."""
    _print(migration.share(here.flow(sid), 100, here.store, by=_BY, now=_now()), as_json=as_json)


@migrate.command("all")
@_flow
@click.option("--force", is_flag=True, help="Do it even if contacts are in sessions, or messages wait.")
@json_option
@with_here
def all_(here: Here, *, sid: str, force: bool, as_json: bool) -> None:
    """Let the new flow take all messages of the address. The old flow is disabled, and kept."""
    _print(migration.everything(here.flow(sid), here.store, by=_BY, now=_now(), force=force), as_json=as_json)


@migrate.command()
@_flow
@json_option
@with_here
def back(here: Here, *, sid: str, as_json: bool) -> None:
    """Go one step back. Contacts that moved finish where they are."""
    flow = here.flow(sid)
    if not flow.migrate_to:
        raise RouterError(f"{flow.sid} is not migrated: there is no step to go back")
    _print(migration.back(flow, here.store, by=_BY, now=_now()), as_json=as_json)


@migrate.command("hand-over")
@_flow
@click.option("--undo", is_flag=True, help="Take it back: turn auto-creation off, and point the number here again.")
@click.option("--yes", is_flag=True, help="Make the changes; without --yes they are only shown.")
@click.option("--force", is_flag=True, help="Do it even if contacts are, or may be, in a session of Proxy.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=WAIT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the flow stays paused after the changes: Twilio may take a minute for them.",
)
@with_here
def hand_over(  # noqa: PLR0913 - one for each option
    here: Here, *, sid: str, undo: bool, yes: bool, force: bool, wait: float
) -> None:
    """Let Twilio make the Conversations of the address by itself, without the router; or take that back.

    FO… is the old flow; all of its contacts must have moved. The command sets auto-creation for the address at Twilio,
    with the new flow's Studio flow, webhook and chat service, and removes the number's webhook. Meanwhile it pauses the
    new flow, so that no message is lost or added twice. If it cannot do this safely, it prints the steps to take by
    hand.
    """
    old = here.flow(sid)
    account = here.settings.account(old.account_sid)
    if account is None:
        raise RouterError(f"account {old.account_sid} is not in the settings")
    new = here.store.flows.get(old.account_sid, old.migrate_to) if old.migrate_to else None
    plan = prepare(here.settings, account, old, new, here.store, undo=undo, force=force)
    if plan.is_done and not plan.new.paused:
        print_facts([("At Twilio", "all of this is set already; nothing was changed")])
        return
    print_facts(
        [
            ("At Twilio", plan.lines() or ["all of this is set already"]),
            ("Meanwhile", f"{plan.new.sid} is paused for {wait:g} s: messages that come to the router wait"),
            ("Then", "the router looks for each of them in its Conversation, and adds it only if it is not there"),
            ("Back", f"router migrate hand-over {old.sid}{'' if undo else ' --undo'} --yes"),
        ]
    )
    if not yes:
        print_facts([("Nothing done", "add --yes to do it")])
        return
    perform(here.settings, account, plan, here.store, wait=wait, sleep=time.sleep)
    print_facts([("Done", "the number points here again" if undo else "Twilio makes the Conversations from now on")])


def _commands(way: Way) -> list[str]:
    """Return the commands that can follow, a line for each."""
    commands = [*_FOLLOWING[way.phase], *([] if way.phase == "none" else [("back {}", _clause(BACK[way.phase]))])]
    return [f"router migrate {command.format(way.old.sid)}: {what}" for command, what in commands]


def _clause(sentence: str) -> str:
    first, mark, rest = sentence.partition(" ")
    return (first if first == "MigrateTo" else first.lower()) + mark + rest


def _now() -> int:
    return int(time.time())


def _print(way: Way, *, as_json: bool) -> None:
    if as_json:
        print_json(way.describe())
        return
    progress = way.progress
    live = "not known: no contact moves" if progress.live is None else f"{progress.live:,} addresses"
    facts: Facts = [
        ("From", flow_line(way.old)),
        ("To", flow_line(way.new)),
        ("Step", f"{way.phase}, {way.old.migrate_percent} %" if way.phase == "share" else way.phase),
        ("Contacts", f"{progress.moved:,} moved"),
        ("Stayed", f"{progress.session:,} times in a session, {progress.unknown:,} times as sessions were not known"),
        ("Messages", f"{progress.from_:,} to the old flow, {progress.to:,} to the new one"),
        ("Waiting", f"{number(way.waiting, 'conversation')} for the old flow"),
        *([("In sessions now", live)] if way.old.integration.type == "proxy" and way.new else []),
        ("Next", NEXT[way.phase]),
        ("Commands", _commands(way)),
    ]  # fmt: skip
    print_facts(facts)
