"""A `router` command in a process group of its own, and processes that are killed as by a power cut."""

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.e2e.running import ROUTER, clean_environ
from tests.waiting import wait_until


class Terminal:
    """A `router` command that runs until it is ended, as `router tunnel` does.

    Args:
        folder: where it is started.
        words: the command.
        environ: further environment variables.
    """

    def __init__(self, folder: Path, *words: str, **environ: str) -> None:
        self._output = folder / f"output-{'-'.join(words)[:40].replace('/', '_')}-{len(list(folder.iterdir()))}"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(ROUTER), *words],
                cwd=folder,
                env=clean_environ(**environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def output(self) -> str:
        """The text that it has printed so far."""
        return self._output.read_text(errors="replace")

    def wait_for(self, text: str, *, times: int = 1) -> "Terminal":
        """Wait until it has printed a text; it must not end before that."""
        wait_until(
            lambda: self.output.count(text) >= times or self.process.poll() is not None,
            what=f"it prints {text}",
            within=30,
        )
        assert self.output.count(text) >= times, self.output
        return self

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit status."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def wait(self) -> int:
        """Wait until it ends by itself; return the exit status."""
        return self.process.wait(60)

    def close(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


def kill_all(pids: Iterable[int]) -> None:
    """Kill processes as a power cut would: all at once, with what they have started."""
    all_pids = list(pids)
    for pid in all_pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)  # so that it cannot restart another process
            all_pids += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for pid in all_pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
