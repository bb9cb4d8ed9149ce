"""`router deliveries hurry`, `hold`, `release` and `cancel`: what to do with messages that wait."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click

from router.cli.deliveries.chosen import Choice, choice_options
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import print_json, watched
from router.errors import RouterError
from router.queries.control import ACTIONS, DONE_AS, Done, Found, note
from router.store import Store

_WAITING: Final = ("queued",)
_SHOWN: Final = 20  # results that are printed one by one


@dataclass(frozen=True, slots=True)
class _Verb:
    """One of the commands: its help, and which messages a filter takes.

    `held` is whether only messages that are held are meant, only others, or both (None). `grave` needs --yes.
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

    The earlier messages of the conversation go first. When a target answers again after its circuit breaker was open,
    the router does this by itself for all messages that wait for that target.""",
        held=False,
    ),
    "hold": _Verb(
        """Do not send messages until they are released; their conversations go on without them.

    \b
      router deliveries hold SM…
      router deliveries hold --from +14155550100 --since 1h""",
        held=False,
        hint="See what is held: router deliveries list --held. Send it: router deliveries release SM…",
    ),
    "release": _Verb(
        """Send messages that are held, each as the last one of its conversation.

    \b
      router deliveries release SM…
      router deliveries release --since 2d""",
        held=True,
    ),
    "cancel": _Verb(
        """Give up messages that wait or are held: they become undelivered, with the reason `cancelled`.

    \b
      router deliveries cancel SM…
      router deliveries cancel --from +14155550100 --since 1h

    A message that is cancelled can be replayed by its SID. Other replays leave it out.""",
        held=None,
        grave=True,
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
    """Do something to messages, the oldest first; end with status 1 if it could not be done to one of them."""
    chosen = choice.find(here, _WAITING, held=verb.held)
    if not as_json and not chosen:
        click.echo(f"No message to {name} among those accepted since then.")
        return
    if not as_json or verb.grave:
        choice.agree(name.capitalize(), chosen, grave=verb.grave, silent=as_json)
    by = f"router deliveries {name}"
    done = [_on(here.store, each, name, by) for each in watched(name.capitalize(), chosen, len(chosen))]
    changed = [(each.account_sid, each.message_sid) for each, result in zip(chosen, done, strict=True) if result.done]
    note(here.store, changed, DONE_AS[name], by=by)
    if as_json:
        print_json(
            [
                {"sid": each.message_sid, "account_sid": each.account_sid, "done": result.done, "said": result.said}
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
        click.echo(f"{each.message_sid}: {result.said}")
    good = sum(each.done for each in done)
    if len(done) > 1:
        click.echo(f"{good:,} of {len(done):,} done.")
    if good < len(done):
        raise RouterError(f"{len(done) - good:,} of {len(done):,} could not be changed")
