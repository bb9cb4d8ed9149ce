"""Options of several commands, and the types of their values."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

_AGE: Final = re.compile(r"(\d{1,9})\s*([smhd])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Group(click.Group):
    """A group of commands, whose help shows the whole first paragraph of each command's help; click shortens it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_paragraph(command)) for name, command in commands if command])


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


def first_paragraph(command: click.Command) -> str:
    """Return the summary of a command."""
    return (command.help or "").partition("\n\n")[0].replace("\n", " ")


class Moment(click.ParamType[int]):
    """A time: an age (`90s`, `15m`, `1h`, `2d`) or ISO 8601. Its value is in ms since 1970."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it; an ISO time without an offset is in the time zone of this machine."""
        if isinstance(value, int):
            return value
        if age := _AGE.fullmatch(value.strip()):
            return int((time.time() - int(age[1]) * _UNITS[age[2]]) * 1000)
        try:
            return int(datetime.fromisoformat(value).astimezone(UTC).timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither an age such as 90s, 15m, 1h, 2d nor a time such as 2026-05-31T22:00", param, ctx
            )


class Parameter(click.ParamType[tuple[str, str]]):
    """A parameter of a webhook, `Name=Value`. Its value is the pair."""

    name = "parameter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it at the first `=`; the value may be empty."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not Name=Value, for example ButtonPayload=yes", param, ctx)
        return name, text


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON for each message, for programs."
)
since_option = click.option(
    "--since", type=Moment(), metavar="AGE|TIME", help="Only since then: 90s, 15m, 1h or 2d ago, or an ISO time."
)
wait_option = click.option(
    "--wait", type=click.FloatRange(0), default=5.0, metavar="S", help="Seconds to wait for the deliveries. [5]"
)
