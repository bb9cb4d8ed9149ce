"""What `router connect`, `router tunnel` and `router run` have in common: finding, asking, connecting, putting back."""

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import click

from router.cli.connect.change import Connector, is_orphan, restore_all
from router.cli.connect.record import Connection, Connections, Holder
from router.cli.connect.webhook import described, inbound, is_ours, leads_elsewhere, shown, wanted
from router.cli.run.demo import is_made_up
from router.errors import RouterError
from router.settings import Account, Settings
from router.sid import is_sid
from router.twilio_api.webhooks import FIELDS, Kind, Place
from router.web import tunnel_address as tunnel

Name = tuple[Kind, str]
"""What is to be connected: its kind, and the number or SID."""
_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}")  # E.164, or a short code


def names(addresses: Sequence[str], *, whatsapp: bool = False, services: Sequence[str] = ()) -> list[Name]:
    """Read what a person names: +1…, whatsapp:+1…, MG….

    Raises:
        BadParameter: it is none of these.
    """
    found: list[Name] = []
    for address in (*addresses, *services):
        kind, bare = "number", address.strip()
        if bare.startswith("whatsapp:") or whatsapp:
            kind, bare = "sender", bare.removeprefix("whatsapp:")
        if is_sid(bare, "MG"):
            kind = "service"
        elif address in services or not _NUMBER.fullmatch(bare):
            what = "MG and 32 hexadecimal digits" if address in services else "+ and digits, whatsapp:+… or MG…"
            raise click.BadParameter(f"{address[:60]!r} is not {what}")
        found.append((kind, bare))  # type: ignore[arg-type]
    return list(dict.fromkeys(found))


def real_account(settings: Settings, account: Account) -> Account:
    """Return an account that Twilio knows; raise RouterError for the one that `router run` has made up."""
    if is_made_up(settings):
        raise RouterError(
            f"{account.sid} is the demo's account, which Twilio does not know: set TWILIO_ACCOUNT_SID and "
            "TWILIO_AUTH_TOKEN, and start the router anew"
        )
    return account


def has_orphans(settings: Settings) -> bool:
    """Say whether a crash has left something connected; raise RouterError when the record is damaged."""
    record, here = Connections(settings.data_dir), tunnel.read(settings.data_dir)
    return any(is_orphan(record, each, here) for each in record.read())


def put_back_orphans(settings: Settings) -> None:
    """Put back what a crash has left connected; say what became of it. Failures are said, and another time will come.

    Raises:
        RouterError: the record is damaged.
    """
    record, here = Connections(settings.data_dir), tunnel.read(settings.data_dir)
    if not has_orphans(settings):
        return
    connector = Connector(settings, record)
    for error in restore_all(connector, lambda each: is_orphan(record, each, here), _say):
        _say(f"{error}; `router disconnect` tries again")


def find(connector: Connector, account: Account, wanted_names: Sequence[Name]) -> list[Place]:
    """Find what is to be connected at Twilio.

    Raises:
        RouterError: it is not there, it would have no effect, or another process has connected it.
    """
    api, places = connector.api(account.sid), []
    for kind, name in wanted_names:
        place = api.number(name) if kind == "number" else api.sender(name) if kind == "sender" else api.service(name)
        if kind == "number" and (service := api.service_of(name)) and ("service", service) not in wanted_names:
            raise RouterError(
                f"{name} is in the Messaging Service {service}, whose webhook counts for it, and not the number's own: "
                f"connect that, with --messaging-service {service}"
            )
        places.append(place)
    for place in places:
        known = _known(connector.record, place)
        if known is not None and connector.record.is_held(known):
            raise RouterError(
                f"{place.name} is connected already, to {shown(known.base)}, by a `router` that still runs: end that "
                f"one, or `router disconnect {place.name}`"
            )
    return places


def show(places: Sequence[Place], base: str) -> None:
    """Print what each webhook says, and what it would say."""
    for place in places:
        click.echo(f"\n{place.name}  ({place.sid})")
        for field, value in wanted(place.kind, base).items():
            before = place.values[field]
            click.echo(f"  {field:30}  {shown(before)}")
            if before != value:
                click.echo(f"  {'':30}  → {shown(value)}")


def questions(record: Connections, places: Sequence[Place], base: str) -> list[str]:
    """Return why somebody has to be asked: another router has it, or it was changed since it was connected."""
    found = []
    for place in places:
        known = _known(record, place)
        if known is not None and is_ours(place, known):
            continue
        if known is not None and inbound(place) != known.before[FIELDS[place.kind][0]].partition("#")[0]:
            found.append(
                f"{place.name} was connected here, and somebody has changed it since: {described(place.values)}"
            )
        elif leads_elsewhere(place, base):
            found.append(f"{place.name} leads to another router, {shown(inbound(place))}")
    return found


def agree(found: Sequence[str], *, yes: bool) -> None:
    """Ask whether to go on in spite of that; raise RouterError when nobody agrees."""
    for each in found:
        click.echo(f"! {each}", err=True)
    if not found or yes:
        return
    if not sys.stdin.isatty():
        raise RouterError("nothing was changed, for nobody can be asked here: say --yes to take it over all the same")
    if not click.confirm("Take it over?"):
        raise RouterError("nothing was changed")


def connect(  # noqa: PLR0913 - what, to where, and who puts it back
    connector: Connector, places: Sequence[Place], account: Account, base: str, *, through_tunnel: bool, holder: str
) -> list[Connection]:
    """Point the webhooks here, all of them or none.

    Raises:
        RouterError: one could not be changed, or somebody has changed it since it was shown; all are as they were.
    """
    done: list[Connection] = []
    with connector.record.changing() as changes:
        for place in places:
            if connector.api(account.sid).fetch(place.kind, place.sid, place.name) != place:
                raise RouterError(f"{place.name} was changed by somebody else just now, and was left so; try again")
        try:
            for place in places:
                each = connector.connect(changes, place, account.sid, base, tunnel=through_tunnel, holder=holder)
                done.append(each)
        except RouterError:
            for each in done:
                with suppress(RouterError):  # the record stays, for another attempt
                    connector.restore(changes, each)
            raise
    return done


def put_back(connector: Connector, holder: Holder, *, tunnel_too: bool = False) -> bool:
    """Put back what this process has connected, and all that leads to the tunnel; say whether all of it could be."""
    wrong = restore_all(connector, lambda each: each.holder == holder.name or (tunnel_too and each.tunnel), _say)
    for error in wrong:
        _say(f"{error}; `router disconnect` tries again")
    return not wrong


def _known(record: Connections, place: Place) -> Connection | None:
    return next((each for each in record.read() if (each.kind, each.sid) == (place.kind, place.sid)), None)


def _say(text: str) -> None:
    click.echo(f"router: {text}", err=True)
