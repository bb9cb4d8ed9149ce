"""The filter options of commands about deliveries, and the text of a delivery in one line."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click

from router.queries.deliveries import STATES, Wanted
from router.store.deliveries import Delivery


def address_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --from, --to and --flow, and --status and --held where it has them, as one `Wanted`."""

    @click.option("--from", "from_", default="", help="Only messages of this customer.")
    @click.option("--to", default="", help="Only messages to this address.")
    @click.option("--flow", default="", metavar="FO…", help="Only messages of this Flex Flow, also as FO3f2a9c1b.")
    @wraps(function)
    def command(*, from_: str, to: str, flow: str, status: str | None = None, held: bool = False, **given: Any) -> None:
        function(wanted=Wanted(status or "", from_, to, flow, held or None), **given)

    return command


def wanted_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --status, --held, --from, --to and --flow, as one `Wanted`."""
    held = click.option("--held", is_flag=True, help="Only messages that `router deliveries hold` holds.")
    status = click.option("--status", type=click.Choice(STATES), help="Only messages in this state.")
    return status(held(address_options(function)))


def times_of(delivery: Delivery) -> list[str]:
    """Return how often a message was replayed and came, if that is not once."""
    replayed, came = delivery.round, delivery.duplicates + 1
    return [f"replayed {replayed} x"] * bool(replayed) + [f"came {came} times"] * (came > 1)


def text_of(delivery: Mapping[str, Any]) -> str:
    """Return the text of a message, or the number of its attachments, from its JSON."""
    media = delivery["num_media"]
    return str(delivery["body"] or "") or (f"({media} attached)" if media else "")
