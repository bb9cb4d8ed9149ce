"""`router deliveries hurry`, `hold`, `release` and `cancel`: what to do with messages that wait."""

import sys
from collections.abc import Callable, Sequence
from typing import Final

import click

from router.cli.deliveries.chosen import Choice, choice_options
from router.cli.here import Here, with_here
from router.cli.options import json_option
from router.cli.output import print_json, watched
from router.errors import RouterError
from router.queries import control
from router.queries.control import Done, Found
from router.store import Store
from router.store.deliveries import Delivery

_WAITING: Final = ("queued",)
_SHOWN: Final = 20  # of many messages: what was said of each
_Action = Callable[[Delivery, Store], Done]


@click.command()
@choice_options
@json_option
@with_here
def hurry(here: Here, *, choice: Choice, as_json: bool) -> None:
    """Send messages now, not at their next retry.

    \b
      router deliveries hurry SM…
      router deliveries hurry --flow FO… --since 2h

    The earlier messages of the conversation go first. When a target answers again after its circuit breaker was open,
    the router does this by itself for all messages that wait for that target.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    _act(here, choice, "Hurry", control.hurry, held=False, as_json=as_json)


@click.command()
@choice_options
@json_option
@with_here
def hold(here: Here, *, choice: Choice, as_json: bool) -> None:
    """Do not send messages until they are released; their conversations go on without them.

    \b
      router deliveries hold SM…
      router deliveries hold --from +14155550100 --since 1h
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    _act(here, choice, "Hold", control.hold, held=False, as_json=as_json)
    if not as_json:
        click.echo("See what is held: router deliveries list --held. Send it: router deliveries release SM…")


@click.command()
@choice_options
@json_option
@with_here
def release(here: Here, *, choice: Choice, as_json: bool) -> None:
    """Send messages that are held, each as the last one of its conversation.

    \b
      router deliveries release SM…
      router deliveries release --since 2d
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    _act(here, choice, "Release", control.release, held=True, as_json=as_json)


@click.command()
@choice_options
@json_option
@with_here
def cancel(here: Here, *, choice: Choice, as_json: bool) -> None:
    """Give up messages that wait or are held: they are undelivered, with the reason `cancelled`.

    \b
      router deliveries cancel SM…
      router deliveries cancel --from +14155550100 --since 1h

    A message that is cancelled can be replayed by its SID. Other replays leave it out.
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    _act(here, choice, "Cancel", control.cancel, held=None, grave=True, as_json=as_json)


def _act(  # noqa: PLR0913 - what is done, to which messages, and how it is told
    here: Here, choice: Choice, verb: str, action: _Action, *, held: bool | None, grave: bool = False, as_json: bool
) -> None:
    """Do something to messages, the oldest first; end with status 1 if it could not be done to one of them."""
    chosen = choice.find(here, _WAITING, held=held)
    if not as_json and not chosen:
        click.echo(f"No message to {verb.lower()} among those accepted since then.")
        return
    if not as_json or grave:
        choice.agree(verb, chosen, grave=grave, silent=as_json)
    done = [_on(here.store, each, action) for each in watched(verb, chosen, len(chosen))]
    if as_json:
        print_json(
            [
                {"sid": each.message_sid, "account_sid": each.account_sid, "done": result.done, "said": result.said}
                for each, result in zip(chosen, done, strict=True)
            ]
        )
        sys.exit(0 if all(each.done for each in done) else 1)
    _tell(chosen, done)


def _on(store: Store, found: Found, action: _Action) -> Done:
    delivery = store.deliveries.get(found.account_sid, found.message_sid)
    return action(delivery, store) if delivery else Done(False, "its record has expired", gone=True)


def _tell(chosen: Sequence[Found], done: Sequence[Done]) -> None:
    for each, result in list(zip(chosen, done, strict=True))[:_SHOWN]:
        click.echo(f"{each.message_sid}: {result.said}")
    good = sum(each.done for each in done)
    if len(done) > 1:
        click.echo(f"{good:,} of {len(done):,} done.")
    if good < len(done):
        raise RouterError(f"{len(done) - good:,} of {len(done):,} could not be changed")
