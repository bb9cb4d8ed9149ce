"""Which deliveries a command is about, and the text of one in a line."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import click

from router.queries.deliveries import STATES, Wanted


def wanted_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command --status, --held, --from, --to and --flow, as one `Wanted`."""

    @click.option("--status", type=click.Choice(STATES), help="Only those in this state.")
    @click.option("--held", is_flag=True, help="Only those that `router deliveries hold` keeps from being sent.")
    @click.option("--from", "from_", default="", help="Only those of this customer.")
    @click.option("--to", default="", help="Only those to this address.")
    @click.option("--flow", default="", metavar="FO…", help="Only those of this Flex Flow; as FO3f2a9c1b, too.")
    @wraps(function)
    def command(*args: Any, status: str | None, held: bool, from_: str, to: str, flow: str, **given: Any) -> None:
        function(*args, wanted=Wanted(status or "", from_, to, flow, True if held else None), **given)

    return command


def text_of(delivery: Mapping[str, Any]) -> str:
    """Return what a message says on one line, of one as JSON shows it: its text, or how much is attached."""
    media = delivery["num_media"]
    return str(delivery["body"] or "") or (f"({media} attached)" if media else "")
