"""`router doctor`: checks the set-up, and explains why signatures did not match."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.text import Text

from router.cli.doctor.examination import examine
from router.cli.doctor.findings import print_checks
from router.cli.options import json_option, moment
from router.cli.output import console, print_json
from router.cli.running import load_settings_for_cli
from router.errors import SettingsError
from router.queries.checks import Check
from router.queries.checks.refused import report_lines
from router.queries.refusals import Report


@click.command()
@click.option(
    "--since",
    type=moment,
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
    try:
        settings = load_settings_for_cli()
    except SettingsError as error:
        advice = "correct it; `router run --help` lists all settings"
        checks, refusals = [Check("settings", "bad", str(error), advice)], list[Report]()
    else:
        checks, refusals = examine(settings, since=since, offline=offline)
    bad = any(check.state == "bad" for check in checks)
    if as_json:
        shown = {"good": not bad, "checks": [asdict(each) for each in checks]}
        print_json(shown | {"refusals": [asdict(each) for each in refusals[:limit]]})
    else:
        _print(checks, refusals, limit)
    sys.exit(1 if bad else 0)


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
