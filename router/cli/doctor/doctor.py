"""`router doctor`: checks the set-up, and explains why signatures did not match."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import click
from rich.text import Text

from router.cli.connect.probe import answers, probe
from router.cli.here import open_store
from router.cli.options import Moment, json_option
from router.cli.output import console, print_json
from router.cli.run.demo import is_made_up
from router.cli.running import base_url, load_settings_for_cli
from router.errors import RouterError, SettingsError, StoreUnavailable
from router.printable import clean
from router.queries.checks import Check, State, local, migration, outside, resources, stored
from router.queries.checks.refused import judged, report_lines
from router.queries.refusals import Report, reports
from router.queries.serving import as_running
from router.settings import Settings
from router.store import Store
from router.twilio_api.webhook_values import shown

_MARKS: Final[dict[State, tuple[str, str]]] = {
    "good": ("ok  ", "green"),
    "look": ("look", "yellow"),
    "bad": ("BAD ", "red"),
    "skipped": ("-   ", "dim"),
}


@click.command()
@click.option(
    "--since",
    type=Moment(),
    metavar="AGE|TIME",
    default="1h",
    show_default=True,
    help="List refused requests since then, at most a day ago.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=5, metavar="N", help="List at most N refused requests. [5]"
)
@click.option("--offline", is_flag=True, help="Do not connect to Twilio, the public URL or the targets of flows.")
@json_option
def doctor(*, since: int, limit: int, offline: bool, as_json: bool) -> None:
    """Check the set-up, and explain why signatures do not match.

    \b
      router doctor
      router doctor --since 1d --limit 50
      router doctor --offline --json

    Each problem is shown with advice. The exit status is 1 if there is a problem to repair.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    checks: list[Check] = []
    refusals: list[Report] = []
    try:
        settings = load_settings_for_cli()
    except SettingsError as error:
        checks = [Check("settings", "bad", str(error), "correct it; `router run --help` lists all settings")]
    else:
        refusals = _examine(settings, checks, since=since, offline=offline)
    bad = any(check.state == "bad" for check in checks)
    if as_json:
        shown = {"good": not bad, "checks": [asdict(each) for each in checks]}
        print_json(shown | {"refusals": [asdict(each) for each in refusals[:limit]]})
    else:
        _print(checks, refusals, limit)
    sys.exit(1 if bad else 0)


def _examine(settings: Settings, checks: list[Check], *, since: int, offline: bool) -> list[Report]:
    """Run all checks that are possible, and append them to `checks`; return the refused requests since then."""
    demo = is_made_up(settings)
    checks += local.settings(settings, demo=demo)
    checks += local.connected(settings)
    try:
        with open_store(settings) as store:
            checks += stored.store(store)
            checks += stored.clock(store)
            checks += stored.outages(settings, store)
            checks += _running(settings)
            checks += stored.serving(settings, store)
            checks += stored.languages(settings, store)
            running = as_running(settings, store)
            checks += stored.flows(running, store)
            checks += local.connected_without_flow(settings, store)
            checks += _outside(running, store, demo=demo, offline=offline)
            checks += stored.messages(settings, store)
            checks += stored.targets(settings, store)
            checks += stored.absent(store)
            checks += stored.answers(settings, store)
            checks += stored.load(settings, store)
            refusals = reports(settings, store, since=since)
            checks += judged(refusals, time.time())
            return refusals
    except StoreUnavailable as error:
        checks.append(stored.unreachable(error))
    except RouterError as error:
        checks.append(
            Check(
                "store",
                "bad",
                str(error),
                "messages, flows and refused requests cannot be checked without it",
            )
        )
    if not any(check.name == "Twilio" for check in checks):
        checks += _outside(settings, None, demo=demo, offline=offline)
    return []


def _outside(settings: Settings, store: Store | None, *, demo: bool, offline: bool) -> Iterator[Check]:
    if offline:
        yield Check("Twilio", "skipped", "not checked because of --offline: public URL, Twilio, targets")
        return
    if not settings.accounts:
        return
    yield from _public_urls(settings)
    if demo:
        yield Check("Twilio", "skipped", "the demo account does not exist at Twilio; set TWILIO_ACCOUNT_SID")
    else:
        for account in settings.accounts:
            yield from outside.twilio(settings, account, store)
            if store:
                yield from resources.flows(settings, account, store)
                yield from migration.of_account(settings, account, store)
    if store:
        yield from outside.targets(settings, store)


def _running(settings: Settings) -> Iterator[Check]:
    where = base_url(settings)
    if answers(where):
        yield Check("router", "good", f"answers at {where}")
    else:
        advice = "start it with `router run`, or set ROUTER_BIND to the address it listens on"
        yield Check("router", "bad", f"nothing answers at {where}", advice)


def _public_urls(settings: Settings) -> Iterator[Check]:
    """Send a signed status callback, as Twilio would, to each public base URL, including the tunnel's."""
    bases = outside.public_bases(settings)
    if not bases:
        yield Check("public URL", "skipped", "no public URL is set, and no tunnel is open")
    for base in bases:
        found = probe(base, settings.accounts[0])
        yield Check("public URL", "good" if found.good else "bad", f"{shown(base)}: {found.found}", found.advice)


def print_checks(checks: Sequence[Check]) -> None:
    """Print findings, a line for each and one for its advice."""
    out = console()
    wide = max(len(check.name) for check in checks)
    for check in checks:
        mark, style = _MARKS[check.state]
        line = Text(mark, style=style)
        line.append(f"  {check.name:{wide}}  {clean(check.found)}", style="default")
        out.print(line, soft_wrap=True)
        if check.advice:
            out.print(Text(f"{'':{wide + 6}}  → {clean(check.advice)}"), soft_wrap=True)


def _print(checks: Sequence[Check], refusals: Sequence[Report], limit: int) -> None:
    print_checks(checks)
    out, now = console(), time.time()
    for report in refusals[:limit]:
        heading, *rest = report_lines(report, now)
        out.print()
        out.print(Text(heading, style="bold"), soft_wrap=True)
        for text in rest:
            out.print(Text(text), soft_wrap=True)
    if len(refusals) > limit:
        out.print(f"\n… and {len(refusals) - limit} more; see them with --limit")
