"""Webhook views that wait for the outcome of their message, to answer Twilio with the target's TwiML."""

from dataclasses import dataclass, field

from gevent.event import Event


@dataclass(slots=True)
class Waiter:
    """One waiting view.

    `promised` is set when the attempt gets an answer while the view still waits: then the view has the right to answer,
    and waits for the settle in progress. `done` is set once the attempt is settled.
    """

    done: Event = field(default_factory=Event)
    outcome: str = ""
    answer: bytes | None = None
    cookies: tuple[str, ...] = ()
    gone: bool = False
    promised: bool = False


class Waiters:
    """The waiting views of this process, by message id: those of a message and of its duplicates."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Waiter]] = {}

    def wait(self, message_id: str) -> Waiter:
        """Register a view; the caller unregisters it with `forget`."""
        waiter = Waiter()
        self._waiting.setdefault(message_id, []).append(waiter)
        return waiter

    def forget(self, message_id: str, waiter: Waiter) -> None:
        """Unregister a view: from now on, an answer is too late for it."""
        waiter.gone = True
        waiting = self._waiting.get(message_id, [])
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            self._waiting.pop(message_id, None)

    def promise(self, message_id: str) -> bool:
        """Give the right to answer to the views that wait for a message; False if no view waits."""
        waiting = [waiter for waiter in self._waiting.get(message_id, ()) if not waiter.gone]
        for waiter in waiting:
            waiter.promised = True
        return bool(waiting)

    def tell(self, message_id: str, outcome: str, answer: bytes | None, cookies: tuple[str, ...]) -> None:
        """Give the result of a message's attempt to the views that wait for it."""
        for waiter in self._waiting.get(message_id, ()):
            waiter.outcome, waiter.answer, waiter.cookies = outcome, answer, cookies
            waiter.done.set()
