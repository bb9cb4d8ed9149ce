"""`router explain`: shows where a message would go, with the reason for each step."""

import sys
from collections.abc import Mapping
from typing import Any, TextIO

import click

from router.cli.flows.rehearse import print_rehearsed, rehearse
from router.cli.here import Here, with_here
from router.cli.options import json_option, moment, parameter
from router.cli.output import print_facts, print_json, short
from router.cli.send.inbound import CUSTOMERS
from router.message.address import canonical
from router.queries.likelihood import as_read_by
from router.queries.route import explain as explain_route


@click.command()
@click.option("--to", default="", help="The address that the customer writes to.")
@click.option("--from", "from_", help="The customer's address. [an example]")
@click.option("--body", default="", help="The customer's text.")
@click.option(
    "--channel",
    type=click.Choice(sorted(CUSTOMERS)),
    help="The channel of addresses without a prefix, for example +1… on WhatsApp. [from the prefix of --to]",
)
@click.option("--lang", default="", metavar="TAG", help="The language in the webhook's URL (?lang=es).")
@click.option(
    "--param", "params", type=parameter, multiple=True, metavar="NAME=VALUE", help="Any other parameter of a webhook."
)
@click.option("--at", type=moment, metavar="TIME", help="The time of the message, such as 2026-12-24T22:00. [now]")
@click.option("--since", type=moment, metavar="AGE|TIME", help="With --flows: compare the messages since then.")
@click.option("--flows", type=click.File(encoding="utf-8"), help="With --since: a flow file that is not applied yet.")
@click.option("--prune", is_flag=True, help="With --flows: treat flows that are not in the file as removed.")
@json_option
@with_here
def explain(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    to: str,
    from_: str | None,
    body: str,
    channel: str | None,
    lang: str,
    params: tuple[tuple[str, str], ...],
    at: int | None,
    since: int | None,
    flows: TextIO | None,
    prune: bool,
    as_json: bool,
) -> None:
    """Show where a message would go, and why, without sending it.

    \b
      router explain --to whatsapp:+14155238886 --body "¿Dónde está mi pedido?"
      router explain --to +15005550006 --param MessagingServiceSid=MG…
      router explain --to +15005550006 --at 2026-12-24T22:00

    The exit status is 1 if no flow would take it.

    With --since and --flows it shows which of the past messages would go elsewhere if you applied the file:

    \b
      router explain --since 1d --flows new.toml

    The file is not applied. The exit status is 1 if a message would go elsewhere.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if since is not None and flows is not None:
        rehearsed = rehearse(here, flows, since=since, to=to, prune=prune)
        print_rehearsed(rehearsed, as_json=as_json)
        sys.exit(1 if rehearsed.moved else 0)
    if since is not None or flows is not None or prune:
        raise click.UsageError("--since and --flows are used together: router explain --since 1d --flows new.toml")
    if not to:
        raise click.UsageError("Add --to with the address that the customer writes to, or --since and --flows.")
    to = canonical(to, channel) if channel else to
    from_ = from_ or _customer(to)
    form = {"From": canonical(from_, channel) if channel else from_, "To": to, "Body": body, **dict(params)}
    sid = here.account.sid
    # As for a real message, a language that a process has not loaded yet is not detected.
    likelihood = as_read_by(here.store.processes.serving(sid))
    answer = explain_route(sid, form, here.store, likelihood, lang=lang, at=None if at is None else at / 1000)
    show(here, answer, form, as_json=as_json)


def show(here: Here, answer: Mapping[str, Any], form: Mapping[str, str], *, as_json: bool) -> None:
    """Print where a message would go, and exit with 1 if no flow would take it."""
    if as_json:
        print_json(answer)
    else:
        text = f"  “{short(form['Body'], 60)}”" if form.get("Body") else ""
        message = f"{answer['channel']}  {form['From']} → {form['To']}{text}"
        steps = here.with_names(answer["steps"], answer["account_sid"])
        print_facts([("Message", message), ("Steps", steps), ("Goes to", _goes_to(answer))])
    sys.exit(0 if answer["flex_flow_sid"] else 1)


def _customer(to: str) -> str:
    """Return the address of an example customer on the channel of an address, or else with the same prefix."""
    prefix = to.partition(":")[0] if ":" in to else ""
    known = (address for address in CUSTOMERS.values() if address.partition(":")[0] == prefix.lower())
    return next(known, f"{prefix}:customer" if prefix else CUSTOMERS["sms"])


def _goes_to(answer: Mapping[str, Any]) -> list[str]:
    if not answer["flex_flow_sid"]:
        return [
            f"no flow: {answer['reason']}",
            "The router would keep it as unrouted; `router flows list` shows all flows",
        ]
    paused = "; it is paused, so the message would wait" if answer["paused"] else ""
    language = f" in {answer['language']}" if answer["language"] else ""
    return [
        f"{answer['flex_flow_sid']} “{answer['friendly_name']}”{language}",
        f"integration {answer['integration_type']}, response {answer['response']}{paused}",
    ]
