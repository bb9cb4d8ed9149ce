"""The filter options of commands about deliveries, and the text of a delivery in one line."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click

from router.queries.delivery_filter import STATES, Wanted
from router.store.deliveries import Delivery


def address_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --from, --to and --flow as one `Wanted`, which includes its --status and --held if it has them."""

    @click.option("--from", "from_", default="", help="Only messages of this customer.")
    @click.option("--to", default="", help="Only messages to this address.")
    @click.option("--flow", default="", metavar="FO…", help="Only messages of this Flex Flow; FO3f2a9c1b is enough.")
    @wraps(function)
    def command(*, from_: str, to: str, flow: str, status: str | None = None, held: bool = False, **more: Any) -> None:
        function(wanted=Wanted(status or "", from_, to, flow, held or None), **more)

    return command


def wanted_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --status, --held, --from, --to and --flow, as one `Wanted`."""
    held = click.option("--held", is_flag=True, help="Only messages that `router deliveries hold` holds.")
    status = click.option("--status", type=click.Choice(STATES), help="Only messages in this state.")
    return status(held(address_options(function)))


def times_of(delivery: Delivery) -> list[str]:
    """Return how often a message was replayed, if it was, and how often it was received, if more than once."""
    replayed, received = delivery.round, delivery.duplicates + 1
    return [f"replayed {replayed} x"] * bool(replayed) + [f"received {received} times"] * (received > 1)


def text_of(delivery: Mapping[str, Any]) -> str:
    """Return the text of a message, or the number of its attachments, from its JSON."""
    media = delivery["num_media"]
    return str(delivery["body"] or "") or (f"({media} attached)" if media else "")
