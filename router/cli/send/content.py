"""What a simulated customer writes, and how often: the options, and the form of each message."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from router.cli.options import parameter
from router.cli.send.inbound import CUSTOMERS, Attachment, fields, new_message_sid, nth
from router.cli.send.shape import SHAPES, Shape, combined
from router.cli.send.signing import Fields
from router.message.address import canonical
from router.sid import new_sid

# Conversations that are sent at once with --rate: a slow answer delays only its own conversation.
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Content:
    """What the customer writes, by the options; None, "" or () is the default of the channel or the shape."""

    body: str | None
    from_: str
    to: str
    shapes: tuple[str, ...]
    media: tuple[str, ...]
    params: tuple[tuple[str, str], ...]

    def shape(self, channel: str) -> Shape:
        """Return the shapes as one; raise BadParameter if the channel does not have one of them."""
        try:
            return combined(self.shapes, channel)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--shape") from None


@dataclass(frozen=True, slots=True)
class Repetition:
    """How many messages are sent, of how many customers, and how many a second; 0 for one after the other."""

    count: int
    contacts: int
    rate: float

    @property
    def at_once(self) -> int:
        """How many conversations are sent at once."""
        return min(self.contacts, _AT_ONCE) if self.rate else 1

    def time(self, n: int) -> float:
        """Return when the `n`-th message is sent, from 0, in seconds from the first one."""
        return n / self.rate if self.rate else 0.0


def forms(  # noqa: PLR0913 - what is written, how often, and by whom to whom
    content: Content, often: Repetition, channel: str, *, to: str, account_sid: str, sid: str | None, url: str
) -> Iterator[Fields]:
    """Yield the form of each message, with the defaults of channel and shapes.

    Args:
        content: what the customer writes.
        often: how many messages are sent, of how many customers.
        channel: the channel.
        to: the address that the customer writes to.
        account_sid: the account of that address.
        sid: the MessageSid; None for a new one for each message.
        url: the URL of the webhook, for a shape that names it.
    """
    shape = content.shape(channel)
    body = shape.body if content.body is None else content.body
    if body is None:
        body = "" if content.media else "Hello"
    media = [Attachment.parse(each) for each in content.media or [shape.media] * bool(shape.media)]
    first = canonical(content.from_ or shape.from_ or CUSTOMERS[channel], channel)
    for n in range(often.count):
        customer = nth(first, n % often.contacts)
        special = shape.written(**{"from": customer, "to": to, "url": url, "sid": new_sid("SM")})
        yield fields(
            channel,
            account_sid=account_sid,
            message_sid=sid or new_message_sid(media),
            from_=customer,
            to=to,
            body=f"{body} {n + 1}".lstrip() if often.count > 1 else body,
            media=media,
            more=[*special.items(), *content.params],
        )


def content_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --body, --from, --to, --shape, --media and --param, as one `Content`."""

    @click.option("--body", help="What the customer writes. [Hello]")
    @click.option("--from", "from_", default="", help="The customer's address. [a made-up one]")
    @click.option(
        "--to",
        default="",
        help="The address that the customer writes to. [the demo's, or that of the channel's only flow]",
    )
    @click.option(
        "--shape",
        "shapes",
        type=click.Choice(tuple(SHAPES)),
        multiple=True,
        metavar="SHAPE",
        help="The kind of message, see below; can be given several times. [text]",
    )
    @click.option("--media", multiple=True, metavar="URL[,TYPE]", help="An attachment; can be given several times.")
    @click.option(
        "--param",
        "params",
        type=parameter,
        multiple=True,
        metavar="NAME=VALUE",
        help="Any other parameter of the webhook; can be given several times.",
    )
    @wraps(function)
    def command(  # noqa: PLR0913 - one for each option
        *,
        body: str | None,
        from_: str,
        to: str,
        shapes: tuple[str, ...],
        media: tuple[str, ...],
        params: tuple[tuple[str, str], ...],
        **more: Any,
    ) -> None:
        function(content=Content(body, from_, to, shapes, media, params), **more)

    return command


def repetition_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --count, --contacts and --rate, as one `Repetition`."""
    number = click.IntRange(1, 100_000)

    @click.option("--count", type=number, default=1, metavar="N", help="The number of messages. [1]")
    @click.option("--contacts", type=number, default=1, metavar="N", help="The number of customers. [1]")
    @click.option(
        "--rate",
        type=click.FloatRange(0, 10_000, min_open=True),
        metavar="N",
        help="Messages per second. [one after the other]",
    )
    @wraps(function)
    def command(*, count: int, contacts: int, rate: float | None, **more: Any) -> None:
        function(often=Repetition(count, contacts, rate or 0.0), **more)

    return command
