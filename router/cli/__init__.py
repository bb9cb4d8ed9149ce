"""The command line: `router`. Commands that belong together share a package, and each is imported only when it is used.

Each command is an entry of `COMMANDS`, and a function of the same name in the module of that entry. Commands parse
their arguments, call `router.queries` and the store, and print; the logic is in those packages.
"""

import ast
import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from router.cli.options import first_paragraph
from router.cli.terminal import guarded, say
from router.errors import RouterError, SettingsError

# Skips the garbage collection at exit: it takes a quarter of a command's time and frees almost nothing.
atexit.register(gc.freeze)

# The commands in the order of `router --help`, each with the module that defines its function.
COMMANDS: Final = {
    "run": "run.run",
    "simulate": "send.simulate",
    "record": "send.record",
    "replay-traffic": "send.replay_traffic",
    "explain": "flows.explain",
    "flows": "flows.flows",
    "deliveries": "deliveries.deliveries",
    "contacts": "contacts",
    "migrate": "migrate.migrate",
    "tunnel": "connect.tunnel",
    "connect": "connect.connect",
    "disconnect": "connect.disconnect",
    "reload": "run.reload",
    "doctor": "doctor.doctor",
    "recover": "deliveries.recover",
}


def summary(name: str) -> str:
    """Return the first paragraph of a command's help, read from its source: importing all commands takes a second."""
    file = Path(__file__).parent.joinpath(*COMMANDS[name].split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    functions = (node for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.FunctionDef))
    docstring = next(ast.get_docstring(each) for each in functions if each.name == _function(name))
    return first_paragraph(docstring or "")


def _function(name: str) -> str:
    return name.replace("-", "_")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Import without garbage collection, which would scan the new modules repeatedly and free none of them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Commands(click.Group):
    """A click group that imports the module of a command only when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        with _uncollected():
            module = import_module(f"router.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, _function(cmd_name))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(name)) for name in COMMANDS])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line, and replace the control characters in its output."""
        with guarded():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a RouterError becomes one line on stderr, without a traceback."""
        try:
            return super().invoke(ctx)
        except RouterError as error:
            say(str(error))
            sys.exit(2 if isinstance(error, SettingsError) else 1)


@click.group("router", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="twilio-message-router", message="%(prog)s %(version)s")
def main() -> None:
    """A router for the inbound messages of Twilio accounts.

    The router verifies each message, stores it, chooses its Flex Flow, and delivers it in order.

    \b
    Begin with:
      router run                            start it, with a demo account
      router simulate sms --body "Hola"     send it a message, as Twilio would
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
