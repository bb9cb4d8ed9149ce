"""`router explain`: where a message would go, and every step of why."""

import sys
from typing import TextIO

import click

from router.cli.context import load_settings_for_cli
from router.cli.flows.explain_since import rehearse, show
from router.cli.output import print_facts, print_json, short
from router.cli.reach import Moment, Parameter, account_option, json_option, one_account, open_store, with_names
from router.cli.reading import likelihood
from router.cli.send.inbound import CUSTOMERS
from router.message.address import canonical
from router.queries.deliveries import explain as inquire


@click.command()
@click.option("--to", default="", help="The address the customer writes to.")
@click.option("--from", "from_", help="The customer's address. [somebody's]")
@click.option("--body", default="", help="What the customer writes.")
@click.option(
    "--channel",
    type=click.Choice(sorted(CUSTOMERS)),
    help="The channel of addresses without a prefix, as +1… on WhatsApp. [told from --to]",
)
@click.option("--lang", default="", metavar="TAG", help="The language that the webhook's URL names (?lang=es).")
@click.option(
    "--param", "params", type=Parameter(), multiple=True, metavar="NAME=VALUE", help="Any other parameter of a webhook."
)
@click.option(
    "--since", type=Moment(), metavar="AGE|TIME", help="Ask for all messages that came since then, with --flows."
)
@click.option("--flows", type=click.File(encoding="utf-8"), help="A flow file that is not applied yet, with --since.")
@click.option("--prune", is_flag=True, help="With --flows: as if flows that the file does not have were removed.")
@account_option
@json_option
def explain(  # noqa: PLR0913 - one for each option
    *,
    to: str,
    from_: str | None,
    body: str,
    channel: str | None,
    lang: str,
    params: tuple[tuple[str, str], ...],
    since: int | None,
    flows: TextIO | None,
    prune: bool,
    account: str | None,
    as_json: bool,
) -> None:
    """Say where a message would go, and why, without sending it.

    \b
      router explain --to whatsapp:+14155238886 --body "¿Dónde está mi pedido?"
      router explain --to +15005550006 --param MessagingServiceSid=MG…

    The exit status is 1 when no flow would take it.

    With --since and --flows it says which of the messages that came would go elsewhere if that file were applied:

    \b
      router explain --since 1d --flows new.toml

    Nothing is applied. The exit status is 1 when one would go elsewhere.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    settings = load_settings_for_cli()
    if since is not None and flows is not None:
        with open_store(settings) as store:
            owner = one_account(settings, account)
            rehearsed = rehearse(flows, settings, owner, store, since=since, to=to, prune=prune)
        show(rehearsed, as_json=as_json)
        sys.exit(1 if rehearsed.moved else 0)
    if since is not None or flows is not None or prune:
        raise click.UsageError("--since and --flows belong together: router explain --since 1d --flows new.toml")
    if not to:
        raise click.UsageError("--to is missing: the address the customer writes to, or --since and --flows")
    to = canonical(to, channel) if channel else to
    from_ = from_ or _somebody(to)
    from_ = canonical(from_, channel) if channel else from_
    with open_store(settings) as store:
        sid = one_account(settings, account).sid
        answer = inquire(sid, {"From": from_, "To": to, "Body": body, **dict(params)}, store, likelihood, lang=lang)
        steps = [] if as_json else with_names(answer["steps"], sid, store)
    if as_json:
        print_json(answer)
    else:
        print_facts(
            [
                ("Message", f"{answer['channel']}  {from_} → {to}{f'  “{short(body, 60)}”' if body else ''}"),
                ("Steps", steps),
                ("Goes to", _verdict(answer)),
            ]
        )
    sys.exit(0 if answer["flex_flow_sid"] else 1)


def _somebody(to: str) -> str:
    """Return a customer on the channel of an address; where we know none, one with the same prefix."""
    prefix = to.partition(":")[0] if ":" in to else ""
    known = (address for address in CUSTOMERS.values() if address.partition(":")[0] == prefix.lower())
    return next(known, f"{prefix}:somebody" if prefix else CUSTOMERS["sms"])


def _verdict(answer: dict[str, object]) -> list[str]:
    if not answer["flex_flow_sid"]:
        return [
            f"nobody: {answer['reason']}",
            "It would be kept as unrouted; see the flows there are with `router flows list`",
        ]
    paused = "; it is paused, so the message would wait" if answer["paused"] else ""
    language = f" in {answer['language']}" if answer["language"] else ""
    return [
        f"{answer['flex_flow_sid']} “{answer['friendly_name']}”{language}",
        f"integration {answer['integration_type']}, response {answer['response']}{paused}",
    ]
