"""The worker's side of one child: its pending calls, its replies, and the detection of blocking calls."""

import contextlib
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import gevent
from gevent import socket, subprocess
from gevent.event import Event
from gevent.queue import SimpleQueue

from router.handling.frame import Frames, Kind, Reply, Request, pack_request, read_reply
from router.handling.launch import PATIENCE, Launched, ended, first_reply, kill, launch

# The child interrupts a call this many seconds before the worker stops waiting for it, so that the handler can release
# its resources. A call that has not ended by then is blocking.
GRACE: Final = 0.5
# Code that runs for this many seconds without a switch of greenlets blocks the child.
STALL: Final = 1.0
_UNREAD: Final = 0.05
_READ: Final = 64 * 1024


class LostError(Exception):
    """A call without a reply; the reason is the end of a sentence that begins with the handler's name.

    Args:
        reason: what happened.
        begun: whether the handler was called.
        at_fault: whether this call blocked or ended the child.

    """

    def __init__(self, reason: str, *, begun: bool, at_fault: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.begun = begun
        self.at_fault = at_fault


class NoChildError(Exception):
    """The child could not start: its handlers can no longer be imported."""


@dataclass(slots=True)
class Call:
    """A call in progress; times are in monotonic seconds.

    The child interrupts it at `ends`; the worker stops waiting at `given_up`.
    """

    name: str
    ends: float
    given_up: float
    outcome: Reply | LostError | None = None
    done: Event = field(default_factory=Event)

    def end(self, outcome: Reply | LostError) -> None:
        """Set the outcome, and wake the waiting greenlet."""
        self.outcome = outcome
        self.done.set()


class Process:
    """A child; `over` when it has ended, `retired` when it accepts no more calls."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.over = False
        self.retired = False
        self._launched: Launched | None = None
        self._ready = Event()
        self._failure = ""
        self._numbers = count(1)
        self._calls: dict[int, Call] = {}
        self._writes: SimpleQueue[bytes] = SimpleQueue()
        # In a separate greenlet: the deadline of the call that needs the child must not interrupt its start.
        gevent.spawn(self._live, paths)

    @property
    def usable(self) -> bool:
        """Whether it accepts calls."""
        return not (self.over or self.retired)

    def held_by(self, now: float) -> str | None:
        """Return the handler that has blocked the child for a while; "" if it is unknown, None if no handler has."""
        if self._launched is None or self.over:
            return None
        moment = self._launched.board.read()
        if not moment.running or now - moment.since < STALL:
            return None
        call = self._calls.get(moment.running)
        return call.name if call else ""

    def call(self, name: str, raw: bytes, deadline: float) -> Reply:
        """Call a handler, and return its reply by the deadline, in monotonic seconds.

        Raises:
            LostError: there is no reply.
            NoChildError: the handlers cannot be imported.

        """
        if not _wait(self._ready, deadline - time.monotonic()):
            raise LostError("was not called in time: its process was not ready", begun=False)
        if self._failure:
            raise NoChildError(self._failure)
        launched = self._launched
        if launched is None or self.over:
            raise LostError("was not called: its process had ended", begun=False)
        left = deadline - time.monotonic()
        number, call = next(self._numbers), Call(name, deadline - min(GRACE, left / 4), deadline)
        self._calls[number] = call
        self._writes.put(pack_request(Request(number, call.ends, name, raw)))
        # The second wait is for a reply that was sent before the deadline, but that the worker has not read yet.
        _ = _wait(call.done, left) or _wait(call.done, _UNREAD)
        outcome = call.outcome or self._judge(number, call, launched)
        if isinstance(outcome, LostError):
            raise outcome
        return outcome

    def retire(self) -> None:
        """Accept no more calls, and end after the calls in progress."""
        if not self.retired:
            self.retired = True
            gevent.spawn(self._end_soon)

    def close(self) -> None:
        """End the child, and wait a short time for it."""
        self._finish(lambda _: LostError("was not waited for: the router stops", begun=True))
        if self._launched is not None:
            ended(self._launched.process)

    # -- how a call is lost -------------------------------------------------------------------------------------------

    def _judge(self, number: int, call: Call, launched: Launched) -> LostError:
        """Return why a call has not ended by its deadline, and replace the child if it is blocked.

        A child that is not blocked has interrupted the call, or tried to, so it has switched greenlets since
        `call.ends`.
        """
        moment, now = launched.board.read(), time.monotonic()
        begun = number <= moment.begun
        if moment.since >= call.ends:
            if not begun:
                return LostError("was not called in time: its process is busy", begun=False)
            self.retire()
            return LostError("went on after its deadline; its process was replaced", begun=True, at_fault=True)
        if moment.running == number:
            self._kill(launched)
            return LostError(
                f"blocked for {_duration(now - moment.since)}; its process was replaced", begun=True, at_fault=True
            )
        holder = self._calls.get(moment.running)
        if holder is None or holder.given_up < now:  # its caller has given up, so no other caller would kill the child
            self._kill(launched)
        return LostError("did not end in time: another one blocked their process", begun=begun)

    def _kill(self, launched: Launched) -> None:
        kill(launched.process)
        self._lose_all(launched, "was interrupted: another one blocked their process, which was replaced")

    def _died(self, launched: Launched) -> None:
        """Blame the call that was running when the child ended, or the only one in progress; end all calls."""
        moment = launched.board.read()
        how = ended(launched.process)
        begun = [number for number in self._calls if number <= moment.begun]
        call = self._calls.pop(moment.running or (begun[0] if len(begun) == 1 else 0), None)
        if call:
            call.end(LostError(f"ended its process ({how})", begun=True, at_fault=True))
        self._lose_all(launched, f"was interrupted: their process ended ({how})")

    def _end_soon(self) -> None:
        while any(call.given_up + GRACE > time.monotonic() for call in self._calls.values()):
            gevent.sleep(GRACE)
        if self._launched is not None and not self.over:
            kill(self._launched.process)
            self._lose_all(self._launched, "was interrupted: their process was replaced")

    def _lose_all(self, launched: Launched, reason: str) -> None:
        begun = launched.board.read().begun if not self.over else 0
        self._finish(lambda number: LostError(reason, begun=number <= begun))

    def _finish(self, lost: Callable[[int], LostError]) -> None:
        if self.over:
            return
        self.over = True
        for number, call in self._calls.items():
            call.end(lost(number))
        self._calls.clear()
        self._writes.put(b"")
        if self._launched is not None:
            self._launched.link.close()
            self._launched.board.close()

    # -- communication with the child ---------------------------------------------------------------------------------

    def _live(self, paths: Mapping[str, str]) -> None:
        try:
            self._launched = launched = self._begin(paths)
        except (NoChildError, OSError) as error:
            self.over, self._failure = True, str(error)
            return
        finally:
            self._ready.set()
        gevent.spawn(self._write, launched)
        frames = Frames()
        with contextlib.suppress(OSError, ValueError, struct.error):  # a handler may have written into the socket
            while data := launched.link.recv(_READ):
                for frame in frames.feed(data):
                    reply = read_reply(frame)
                    if (call := self._calls.pop(reply.number, None)) is not None:
                        call.end(reply)
        if not self.over:
            self._died(launched)

    def _begin(self, paths: Mapping[str, str]) -> Launched:
        launched = launch(paths, popen=subprocess.Popen, pair=socket.socketpair)
        reply: Reply | None = None
        try:
            with gevent.Timeout(PATIENCE):
                reply = first_reply(launched.link)
        except gevent.Timeout:
            raise NoChildError(f"their modules are not imported within {PATIENCE:g} s") from None
        finally:
            if reply is None or reply.kind is not Kind.READY or self.over:
                launched.link.close()
                how = ended(launched.process)
        if self.over:
            raise NoChildError("the router stops")
        if reply is None:
            raise NoChildError(f"the process that imports them ended ({how})")
        if reply.kind is not Kind.READY:
            name, reason = reply.words
            raise NoChildError(f"handlers.{name}: {reason}")
        return launched

    def _write(self, launched: Launched) -> None:
        with contextlib.suppress(OSError):  # the child has ended, which the reader notices, too
            while (frame := self._writes.get()) and not self.over:
                launched.link.sendall(frame)


def _wait(event: Event, seconds: float) -> bool:
    """Wait for an event; return whether it was set within `seconds` and before the caller's own deadline."""
    with contextlib.suppress(gevent.Timeout):
        event.wait(max(0.0, seconds))
    return event.is_set()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds > 2 else f"{seconds:.1f} s"  # noqa: PLR2004 - below it the tenths tell more
