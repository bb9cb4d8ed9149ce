"""Options of several commands, and the types of their values: a type is a function that raises ValueError."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click

_AGE: Final = re.compile(r"(\d{1,9})\s*([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Group(click.Group):
    """A group of commands, whose help shows the whole first paragraph of each command's help; click shortens it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_paragraph(command.help or "")) for name, command in commands if command])


def with_sections(*sections: tuple[str, str | Sequence[tuple[str, str]]]) -> type[click.Command]:
    """Return a class of commands whose help ends with these sections: a heading, and a text or a list of pairs."""

    class Command(click.Command):
        def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
            for heading, content in sections:
                with formatter.section(heading):
                    if isinstance(content, str):
                        formatter.write_text(content)
                    else:
                        formatter.write_dl(content)

    return Command


def first_paragraph(text: str) -> str:
    """Return the summary in a command's help."""
    return text.partition("\n\n")[0].replace("\n", " ")


def moment(text: str) -> int:
    """Parse a time, an age (`90s`, `15m`, `1h`, `2d`) or ISO 8601; return ms since 1970.

    An ISO time without an offset is in the time zone of this machine.
    """
    if age := _AGE.fullmatch(text.strip()):
        return int((time.time() - int(age[1]) * _UNITS[age[2]]) * 1000)
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither an age such as 90s, 15m, 1h, 2d nor a time such as 2026-05-31T22:00"
        ) from None


def parameter(text: str) -> tuple[str, str]:
    """Split a parameter of a webhook, `Name=Value`, at the first `=`; the value may be empty."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not Name=Value, for example ButtonPayload=yes")
    return name, value


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON for each message, for programs."
)
since_option = click.option(
    "--since", type=moment, metavar="AGE|TIME", help="Only since then: 90s, 15m, 1h or 2d ago, or an ISO time."
)
wait_option = click.option(
    "--wait", type=click.FloatRange(0), default=5.0, metavar="S", help="Seconds to wait for the deliveries. [5]"
)
