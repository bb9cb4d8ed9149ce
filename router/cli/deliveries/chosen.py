"""The messages that a command changes: named by their SIDs, or selected by a filter and counted first."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import click

from router.cli.confirm import confirm, yes_option
from router.cli.deliveries.wanted import address_options
from router.cli.here import Here
from router.cli.options import since_option
from router.cli.progress import watched
from router.printable import number
from router.queries.delivery_filter import Wanted
from router.queries.selection import Found, find


@dataclass(frozen=True, slots=True)
class Choice:
    """The arguments of such a command: SIDs, or a filter with --since, and --yes."""

    sids: tuple[str, ...]
    wanted: Wanted
    since: int | None
    yes: bool

    def find(self, here: Here, states: Collection[str], *, held: bool | None = None) -> list[Found]:
        """Return the selected messages, the oldest first.

        A filter selects only messages in one of the `states`; with `held` only messages that are held, or are not.

        Raises:
            UsageError: neither SIDs nor a filter are given, or both, or the filter has no --since.
            RouterError: there is no record of a message that is named.
        """
        if bool(self.sids) == (self.since is not None or self.wanted != Wanted()):
            raise click.UsageError(
                "Name MessageSids, or choose messages with --since and, if you want, --from, --to, --flow."
            )
        if self.sids:
            named = (here.delivery(sid) for sid in dict.fromkeys(self.sids))
            found = [Found(each.accepted_at, each.account_sid, each.message_sid, each.state) for each in named]
            return sorted(found, key=lambda each: each.accepted_at)
        if self.since is None:
            raise click.UsageError("Add --since, for example --since 1h: without MessageSids it is required.")
        accounts = [account.sid for account in here.accounts]
        wanted = replace(here.wanted(self.wanted), held=held)
        return find(
            accounts,
            wanted,
            states,
            here.store,
            since=self.since,
            watch=lambda deliveries: watched("Reading messages", deliveries),
        )

    def agree(self, what: str, chosen: Sequence[Found], *, grave: bool, silent: bool = False) -> None:
        """Print how many messages a filter selected, and ask for confirmation; `what` is the verb of the question.

        With `grave` --yes is required where there is no terminal; with `silent`, for a program, nothing is printed or
        asked.

        Raises:
            RouterError: the answer was no, or --yes is missing.
        """
        if self.sids:
            return
        states = Counter(each.state for each in chosen)
        listed = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
        if not silent:
            click.echo(f"{number(len(chosen), 'message')}: {listed}")
        if not self.yes:
            confirm(f"{what} {'it' if len(chosen) == 1 else 'them'}?", always=grave, program=silent)


def choice_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command SIDs, or --since, --from, --to and --flow, and --yes, as one `Choice`."""

    @click.argument("sids", metavar="[SM…]...", nargs=-1)
    @since_option
    @address_options
    @yes_option
    @wraps(function)
    def command(*, sids: tuple[str, ...], wanted: Wanted, since: int | None, yes: bool, **options: Any) -> None:
        function(choice=Choice(sids, wanted, since, yes), **options)

    return command
