"""`router migrate hand-over`: the last step, after which Twilio makes the Conversations without the router."""

import time

import click

from router.cli.here import Here, with_here
from router.cli.output import print_facts
from router.queries.hand_over import WAIT_SECONDS, perform, prepare


@click.command("hand-over")
@click.argument("sid", metavar="FO…")
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
    account = here.account_of(old.account_sid)
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
