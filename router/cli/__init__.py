"""The command line: `router`. Commands that belong together share a package, and each is imported only when it is used.

Commands read their arguments, ask `router.queries` and the store, and print. What the router does lives below.
"""

import sys
from importlib import import_module
from typing import Any, Final

import click

from router.cli.terminal import guarded
from router.errors import RouterError, SettingsError

# Name to summary. The summary stands here so that `router --help` imports no command; a test keeps them the same.
COMMANDS: Final = {
    "run": "Start the router: with one command on a fresh machine, or over your own Redis.",
    "simulate": "Send a message as Twilio would, signed, and show answer, route and delivery.",
    "record": "Keep what really arrived in a file, to be sent again elsewhere.",
    "replay-traffic": "Send recorded traffic to a router, as Twilio would, freshly signed.",
    "explain": "Say where a message would go, and why, without sending it.",
    "flows": "See and change the Flex Flows: which integration takes the messages for an address.",
    "deliveries": "See what happened to messages, and send them again.",
    "contacts": "See and set the language of a contact and the flow of its conversations; erase it on request.",
    "tunnel": "Make the router of this machine reachable by Twilio, until Ctrl-C.",
    "connect": "Point a number's webhook here, until Ctrl-C; then it says again what it said before.",
    "disconnect": "Put back what `router connect` has changed: all of it, or the numbers that are named.",
    "reload": "Let the router read its settings again, and load languages; no message is lost.",
    "doctor": "Say why signatures do not match, and what is wrong with the set-up.",
    "recover": "Ask Twilio for messages that never arrived, and accept them in order.",
}


# The package below `router.cli` of a command that has one; the others are modules of their own.
PACKAGES: Final = {
    "run": "run",
    "reload": "run",
    "simulate": "send",
    "record": "send",
    "replay-traffic": "send",
    "flows": "flows",
    "explain": "flows",
    "deliveries": "deliveries",
    "recover": "deliveries",
    "doctor": "doctor",
    "connect": "connect",
    "disconnect": "connect",
    "tunnel": "connect",
}


class _Commands(click.Group):
    """A click group that imports a command's module, for its attribute of the same name, when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = ".".join(("router.cli", *([PACKAGES[cmd_name]] if cmd_name in PACKAGES else []), name))
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line, with a guard over what it prints."""
        with guarded():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the router says in one sentence is one line on stderr, never a traceback."""
        try:
            return super().invoke(ctx)
        except RouterError as error:
            click.echo(f"router: {error}", err=True)
            sys.exit(2 if isinstance(error, SettingsError) else 1)


@click.group("router", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The front door for inbound messages on Twilio.

    Each message is verified, routed by its Flex Flow, kept safe, and delivered in order.

    \b
    Begin with:
      router run                            start it, with a demo account
      router simulate sms --body "Hola"     send it a message, as Twilio would
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
