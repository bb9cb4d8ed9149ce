"""`router replay-traffic`: signs recorded messages again and sends them to a router, as Twilio would."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from router.cli.here import Here, with_here
from router.cli.options import lines_option, wait_option
from router.cli.output import print_table, short
from router.cli.send import report
from router.cli.send.call import url_option
from router.cli.send.sender import Webhook, dispatch, webhook_url
from router.cli.send.signing import key_option, signing
from router.cli.send.traffic import Recorded, read
from router.errors import RouterError
from router.message.address import canonical, channel_of
from router.printable import number
from router.settings import Account
from router.sid import is_sid, new_sid

_AT_ONCE: Final = 64
_SHOWN: Final = 50  # messages that --dry-run lists
_TEXT: Final = 48
# Twilio's names for the SID of a message, and the parameter that names an earlier message.
_SIDS: Final = ("MessageSid", "SmsSid", "SmsMessageSid", "OriginalRepliedMessageSid")


def _speed(text: str) -> float:
    """Parse how many times faster than recorded: a number, or `max`, for which 0 stands."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed <= 1e6:  # noqa: PLR2004 - no recording is so long that more would make a difference
        raise ValueError(f"{text!r} is neither max nor a number above 0 such as 10")
    return speed


@click.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--speed", type=_speed, default="1", metavar="X|max", help="How many times faster than recorded. [1]")
@url_option
@click.option("--to", help="The address that the customer writes to, instead of the recorded one.")
@key_option
@click.option(
    "--same-sids", is_flag=True, help="Keep the MessageSids: a router that already has them counts duplicates."
)
@click.option("--dry-run", is_flag=True, help="Send nothing; only show what would be sent, and when.")
@wait_option
@lines_option
@with_here
def replay_traffic(  # noqa: PLR0913 - one for each option
    here: Here,
    *,
    file: Path,
    speed: float,
    url: str | None,
    to: str | None,
    key: str | None,
    same_sids: bool,
    dry_run: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Send recorded messages to a router, newly signed.

    \b
      router replay-traffic monday.jsonl --dry-run
      router replay-traffic monday.jsonl --speed 10
      router replay-traffic production.jsonl --account AC… --to +15005550006 --speed max
      router record - --since 1h | router replay-traffic - --url http://127.0.0.1:9000/webhooks/message

    The messages are sent at the speed at which they were recorded, or faster, and each conversation in its order. Every
    message gets a new MessageSid: with the original one it could be a duplicate. With --account, the messages of
    another account are sent as messages of that account. The exit status is 1 if a message was refused, or was not
    delivered in time.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    recorded = sorted(read(file), key=lambda each: each.at)
    if not recorded:
        raise RouterError(f"{file} has no messages")
    plan = _Plan(here, file, key, url, to, same_sids=same_sids)
    items = list(plan.items(recorded, speed))
    if dry_run:
        _preview(items)
        return
    label = f"Replaying {file.name}"
    sending = dispatch(items, at_once=_AT_ONCE, label=label, url=url, store=here.own_store, wait=wait)
    report.print_many(sending.sent, "recorded messages", sending.seconds, as_json=as_json)
    sys.exit(sending.exit_status())


@dataclass(slots=True)
class _Plan:
    """Converts recorded webhooks to those that are sent."""

    here: Here
    file: Path
    key: str | None
    url: str | None
    to: str | None
    same_sids: bool
    _sids: dict[str, str] = field(default_factory=dict)

    def items(self, recorded: Sequence[Recorded], speed: float) -> Iterator[tuple[float, Webhook]]:
        """Return the webhooks with their times, in seconds from the first one.

        Raises:
            RouterError: the router does not serve the account of one, or --to is an address of another channel.
        """
        start = recorded[0].at
        for each in recorded:
            yield (each.at - start) / speed if speed else 0.0, self._outgoing(each)

    def _outgoing(self, recorded: Recorded) -> Webhook:
        owner = self._owner(recorded, dict(recorded.form)["AccountSid"])
        replaced = {"AccountSid": owner.sid}
        if self.to:
            replaced["To"] = canonical(self.to, recorded.channel)
            if channel_of(replaced["To"]) != recorded.channel:
                raise RouterError(
                    f"{self.file}, line {recorded.number}: a message on {recorded.channel}, but --to {self.to} is not "
                    "an address of this channel"
                )
        form = [(name, replaced.get(name, self._sid(name, value))) for name, value in recorded.form]
        url, signed_as = webhook_url(self.url, self.here.settings, recorded.channel)
        return Webhook(url, signed_as, form, signing(owner, self.key), recorded.method)

    def _owner(self, recorded: Recorded, sid: str) -> Account:
        """Return the account of the webhook that is sent: that of --account, or the recorded one."""
        settings, named = self.here.settings, self.here.account_sid
        if named is None and settings.accounts and settings.account(sid) is None:
            known = " or ".join(account.sid for account in settings.accounts)
            raise RouterError(
                f"{self.file}, line {recorded.number}: the message is of {sid}, which is not one of the router's "
                f"accounts; choose the account to send it as: --account {known}"
            )
        return self.here.account_of(named or (sid if settings.accounts else None))

    def _sid(self, name: str, value: str) -> str:
        """Return the new SID of a message; the same original SID always gets the same new one."""
        if self.same_sids or name not in _SIDS or not is_sid(value, "SM", "MM"):
            return value
        return self._sids.setdefault(value, new_sid(value[:2]))


def _preview(items: Sequence[tuple[float, Webhook]]) -> None:
    rows = []
    for at, outgoing in items[:_SHOWN]:
        form = dict(outgoing.form)
        text = form.get("Body") or f"({form.get('NumMedia', '0')} attached)"
        rows.append((f"+{at:.1f} s", form["From"], form["To"], short(text, _TEXT)))
    print_table(("AFTER", "FROM", "TO", "TEXT"), rows, whole=("AFTER",))
    if len(items) > _SHOWN:
        click.echo(f"… and {len(items) - _SHOWN:,} more")
    contacts = {dict(outgoing.form)["From"] for _, outgoing in items}
    where = sorted({outgoing.url for _, outgoing in items})
    click.echo(
        f"{number(len(items), 'message')} of {number(len(contacts), 'customer')} in {items[-1][0]:.1f} s, to "
        f"{', '.join(where)}; nothing was sent."
    )
