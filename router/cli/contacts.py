"""`router contacts`: the languages of a contact, its aliases, and the flows that its conversations are assigned to."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import click

from router.cli.confirm import confirm, yes_option
from router.cli.here import Here, with_here
from router.cli.options import Group, json_option
from router.cli.output import Facts, flow_line, print_facts, print_json
from router.cli.progress import watched
from router.errors import RouterError
from router.printable import ago, number
from router.queries.contact_change import InvalidContact, identity_of, read_change
from router.queries.contact_json import describe
from router.queries.contacts import change, find
from router.queries.erasure import erase as erase_contact
from router.store import Store
from router.store.contacts import Contact

_LEAST_SHARE: Final = 0.01  # smaller shares of languages are not shown
_CONTACT: Final = "CONTACT"  # the name of the contact's address in usage lines
# The options for the parameters of the REST resource.
_OPTIONS: Final = {
    "Language": "language", "Preference": "preference", "Alias": "alias", "Address": "to", "FlexFlowSid": "flow",
}  # fmt: skip


@click.group(cls=Group)
def contacts() -> None:
    """Show a contact, set its language or its flows, or erase it.

    \b
      router contacts show whatsapp:+14155550100
      router contacts set whatsapp:+14155550100 --preference es
      router contacts close whatsapp:+14155550100
      router contacts erase whatsapp:+14155550100

    The router keeps a contact only if several flows share an address, or if you set something for it here.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


@contacts.command()
@click.argument("address", metavar=_CONTACT)
@json_option
@with_here
def show(here: Here, *, address: str, as_json: bool) -> None:
    """Show a contact: its addresses, its languages, and the flows of its conversations."""
    contact = find(_canonical(address), here.account.sid, here.store)
    if contact is None:
        raise _unknown(address)
    _print(contact, here.store, as_json=as_json)


@contacts.command("set")
@click.argument("address", metavar=_CONTACT)
@click.option("--language", metavar="TAG", help='The language that the contact is known to use; "" removes it.')
@click.option("--preference", metavar="TAG", help='The language that the contact has chosen; "" removes it.')
@click.option("--alias", multiple=True, metavar="ADDRESS", help="Another address of the same person.")
@click.option("--to", metavar="ADDRESS", help="With --flow: the address of yours in the conversation.")
@click.option("--flow", metavar="FO…", help="With --to: the Flex Flow that takes the conversation from now on.")
@json_option
@with_here
def set_(here: Here, *, address: str, alias: tuple[str, ...], as_json: bool, **options: str | None) -> None:
    """Set the language of a contact, its aliases, or the flow of a conversation.

    \b
      router contacts set whatsapp:+14155550100 --preference es
      router contacts set whatsapp:+14155550100 --alias whatsapp:US.13491208655302741918
      router contacts set whatsapp:+14155550100 --to whatsapp:+14155238886 --flow FO…

    An unknown contact is created. A new preference ends the assignment of the contact's conversations to flows: the
    next message is routed again.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    values = options | {"alias": ",".join(alias) or None}
    parameters = {name: value for name, option in _OPTIONS.items() if (value := values[option]) is not None}
    if not parameters:
        raise click.UsageError("Nothing to set: add --language, --preference, --alias, or --to with --flow.")
    if bool(values["to"]) != bool(values["flow"]):
        raise click.UsageError("Use --to and --flow together: --to names the conversation, --flow its flow.")
    if values["flow"]:
        parameters["FlexFlowSid"] = here.flow_sid(values["flow"])
    _change(here, address, parameters, as_json=as_json)


@contacts.command()
@click.argument("address", metavar=_CONTACT)
@click.option("--to", metavar="ADDRESS", help="Only the conversation with this address of yours.")
@json_option
@with_here
def close(here: Here, *, address: str, to: str | None, as_json: bool) -> None:
    """End the assignment of a contact's conversations to flows: the next message is routed again.

    \b
      router contacts close whatsapp:+14155550100 --to whatsapp:+14155238886
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    parameters = {"Status": "closed"} | ({"Address": to} if to else {})
    _change(here, address, parameters, as_json=as_json)


@contacts.command()
@click.argument("address", metavar=_CONTACT)
@yes_option
@json_option
@with_here
def erase(here: Here, *, address: str, yes: bool, as_json: bool) -> None:
    """Erase a contact with its aliases and the content of its messages. This cannot be undone.

    \b
      router contacts erase whatsapp:+14155550100

    The records of the messages stay until they expire, with time and state but without text and address, so that a
    duplicate is still recognized. If messages are still to be delivered, the command exits with 1 and keeps the
    contact; run it again when they are delivered.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    owner, store, identity = here.account.sid, here.store, _canonical(address)
    if not yes:
        confirm(f"Erase {identity} and the content of its messages? It cannot be undone", refusal="nothing was erased")
    total = store.deliveries.counts(owner).kept
    erasure = erase_contact(identity, owner, store, watch=lambda messages: watched("Reading messages", messages, total))
    if as_json:
        print_json(
            {
                "identities": sorted(erasure.identities),
                "contact": erasure.contact,
                "messages": erasure.messages,
                "waiting": erasure.waiting,
            }
        )
    elif erasure.found:
        others = sorted(erasure.identities - {identity})
        also = f" with {', '.join(others)}" if others else ""
        what = f"the contact {identity}{also} and " if erasure.contact else ""
        click.echo(f"Erased: {what}{number(erasure.messages, 'message')}.")
    if not erasure.found:
        raise _unknown(address)
    if erasure.waiting:
        raise RouterError(
            f"{erasure.waiting:,} messages are still to be delivered, so the contact was kept; see them with "
            f"`router deliveries list --from {identity}`, and erase it again later"
        )


def _change(here: Here, address: str, parameters: Mapping[str, str], *, as_json: bool) -> None:
    with _options():
        contact = change(_canonical(address), read_change(parameters), here.account.sid, here.store)
    if contact is None:
        raise _unknown(address)
    _print(contact, here.store, as_json=as_json)


def _canonical(address: str) -> str:
    with _options():
        return identity_of(address, _CONTACT)


@contextmanager
def _options() -> Iterator[None]:
    """Translate errors of the REST resource to the options of the command line."""
    try:
        yield
    except InvalidContact as error:
        option = _OPTIONS.get(error.parameter)
        raise RouterError(f"{f'--{option}' if option else error.parameter}: {error.reason}") from None


def _unknown(address: str) -> RouterError:
    return RouterError(
        f"no contact {address}: the router keeps a contact after its first message to an address that several flows "
        "share, or after `router contacts set`"
    )


def _print(contact: Contact, store: Store, *, as_json: bool) -> None:
    now = time.time()
    shown = describe(contact, store, now=now)
    if as_json:
        print_json(shown)
        return
    shares = [
        each for each in sorted((shown["learned"] or {}).items(), key=lambda pair: -pair[1]) if each[1] >= _LEAST_SHARE
    ]
    facts: Facts = [
        ("Contact", shown["identity"]),
        ("Aliases", shown["aliases"] or "none"),
        ("Preference", shown["preference"] or "none"),
        ("Language", shown["language"] or "none set"),
        ("Learned", ", ".join(f"{tag} {100 * share:.0f} %" for tag, share in shares) or "nothing yet"),
    ]
    facts += [(f"With {each['address']}", _conversation(each, contact, store, now)) for each in shown["conversations"]]
    print_facts(facts)


def _conversation(shown: Mapping[str, Any], contact: Contact, store: Store, now: float) -> list[str]:
    flow = store.flows.get(contact.account_sid, shown["flex_flow_sid"])
    language = f" in {shown['language']}" if shown["language"] else ""
    sure = "confidently" if shown["confident"] else "until a message gives more evidence"
    state = f"assigned{language}, {sure}" if shown["status"] == "active" else f"no longer assigned{language}"
    at = contact.assignments[shown["address"]].at
    return [flow_line(flow) if flow else f"{shown['flex_flow_sid']}, which was removed", f"{state}; {ago(at, now)}"]
