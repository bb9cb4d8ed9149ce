"""Asks a person at a terminal for confirmation before a change; never asks a program."""

import sys

import click

from router.errors import RouterError

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what would change.")


def confirm(question: str, *, refusal: str = "nothing was changed", always: bool = True, program: bool = False) -> None:
    """Ask a person at the terminal whether to go on.

    Args:
        question: the question.
        refusal: the error message if the answer is no.
        always: whether --yes is required where there is no terminal, as for changes that cannot be undone.
        program: whether the command was called with --json; then it asks nothing.

    Raises:
        RouterError: the answer is no, or there is no terminal to ask at.
    """
    if not program and sys.stdin.isatty() and sys.stdout.isatty():
        if not click.confirm(question):
            raise RouterError(refusal)
    elif always:
        raise RouterError(f"{refusal}: the command cannot ask, because there is no terminal; add --yes to go on")


def refuse_to_ask_a_program(*, as_json: bool, yes: bool, dry_run: bool) -> None:
    """Raise UsageError for --json without --yes or --dry-run."""
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json needs --yes or --dry-run: with --json the command does not ask.")
