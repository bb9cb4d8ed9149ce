"""Prints how far a migration is, and the commands that can follow."""

from collections.abc import Mapping, Sequence
from typing import Final

from router.cli.output import Facts, flow_line, print_facts, print_json
from router.printable import number
from router.queries.migration import BACK, NEXT, Phase, Way

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


def print_way(way: Way, *, as_json: bool) -> None:
    """Print a migration."""
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


def _commands(way: Way) -> list[str]:
    """Return the commands that can follow, a line for each."""
    commands = [*_FOLLOWING[way.phase], *([] if way.phase == "none" else [("back {}", _clause(BACK[way.phase]))])]
    return [f"router migrate {command.format(way.old.sid)}: {what}" for command, what in commands]


def _clause(sentence: str) -> str:
    first, mark, rest = sentence.partition(" ")
    return (first if first == "MigrateTo" else first.lower()) + mark + rest
