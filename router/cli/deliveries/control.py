"""`router deliveries hurry`, `hold`, `release` and `cancel`: change messages that wait for delivery."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click

from router.cli.deliveries.chosen import Choice, choice_options
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import print_json
from router.cli.progress import watched
from router.errors import RouterError
from router.queries.control import ACTIONS, DONE_AS, Done, note
from router.queries.selection import Found
from router.store import Store

_WAITING: Final = ("queued",)
_SHOWN: Final = 20  # the maximum number of results that are printed


@dataclass(frozen=True, slots=True)
class _Verb:
    """One of the commands: its help, and a `hint` with the command to type next.

    `held`: whether a filter selects only held messages, only others, or both (None). `grave`: whether --yes is required
    where there is no terminal.
    """

    help: str
    held: bool | None
    grave: bool = False
    hint: str = ""


_VERBS: Final = {
    "hurry": _Verb(
        """Send messages now, not at their next retry.

    \b
      router deliveries hurry SM…
      router deliveries hurry --flow FO… --since 2h

    Earlier messages of the same conversation are sent first. When a target answers again after its circuit breaker was
    open, the router does this by itself for all messages that wait for this target.""",
        held=False,
    ),
    "hold": _Verb(
        """Do not send messages until they are released; their conversations go on without them.

    \b
      router deliveries hold SM…
      router deliveries hold --from +14155550100 --since 1h""",
        held=False,
        hint="Show the held messages: router deliveries list --held. Send them: router deliveries release SM…",
    ),
    "release": _Verb(
        """Send held messages, each after the other messages of its conversation.

    \b
      router deliveries release SM…
      router deliveries release --since 2d""",
        held=True,
    ),
    "cancel": _Verb(
        """Give up waiting or held messages: they become undelivered, with the reason `cancelled`.

    \b
      router deliveries cancel SM…
      router deliveries cancel --from +14155550100 --since 1h

    A cancelled message can be replayed by its SID. Replays with a filter leave it out.""",
        held=None,
        grave=True,
        hint="Send a cancelled message again: router deliveries replay SM…",
    ),
}


def _command(name: str, verb: _Verb) -> click.Command:
    @click.command(name, help=verb.help)
    @choice_options
    @json_option
    @with_here
    def command(here: Here, *, choice: Choice, as_json: bool) -> None:
        _act(here, choice, name, verb, as_json=as_json)

    return command


CONTROLS: Final = tuple(_command(name, verb) for name, verb in _VERBS.items())


def _act(here: Here, choice: Choice, name: str, verb: _Verb, *, as_json: bool) -> None:
    """Change the messages, the oldest first; exit with status 1 if one could not be changed."""
    chosen = choice.find(here, _WAITING, held=verb.held)
    if not as_json and not chosen:
        click.echo(f"No message to {name} among those accepted since then.")
        return
    if not as_json or verb.grave:
        choice.agree(name.capitalize(), chosen, grave=verb.grave, silent=as_json)
    by = f"router deliveries {name}"
    done = [_on(here.store, each, name, by) for each in watched(name.capitalize(), chosen, len(chosen))]
    changed = [
        (each.account_sid, each.message_sid) for each, result in zip(chosen, done, strict=True) if result.changed
    ]
    note(here.store, changed, DONE_AS[name], by=by)
    if as_json:
        print_json(
            [
                {"sid": each.message_sid, "account_sid": each.account_sid, "done": result.done, "said": result.outcome}
                for each, result in zip(chosen, done, strict=True)
            ]
        )
        sys.exit(0 if all(each.done for each in done) else 1)
    _print(chosen, done)
    if verb.hint:
        click.echo(verb.hint)


def _on(store: Store, found: Found, name: str, by: str) -> Done:
    delivery = store.deliveries.get(found.account_sid, found.message_sid)
    return ACTIONS[name](delivery, store, by=by) if delivery else Done(False, "its record has expired", gone=True)


def _print(chosen: Sequence[Found], done: Sequence[Done]) -> None:
    for each, result in list(zip(chosen, done, strict=True))[:_SHOWN]:
        click.echo(f"{each.message_sid}: {result.outcome}")
    good = sum(each.done for each in done)
    if len(done) > 1:
        click.echo(f"{good:,} of {len(done):,} done.")
    if good < len(done):
        raise RouterError(f"{len(done) - good:,} of {len(done):,} messages could not be changed")
