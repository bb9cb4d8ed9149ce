"""Runs the commands of a documentation page in order, and compares what they print with the page.

A `console` block has commands after `$ `, and under each its output. A comment before a block, which readers of the
page do not see, can say more:

    <!-- runs in: tunnel -->    its last command goes on in the background, under this name
    <!-- ends: tunnel -->       the command of this name gets Ctrl-C; a block that follows shows its last output
    <!-- file: bot.py -->       the block is a file's content
    <!-- event: sms -->         the test does something outside the page, for example sends an SMS

On the page a line `...` stands for any lines, and `…` for any text within a line; ids, times, durations and the folder
are not compared.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final

from tests.waiting import wait_until

_DIRECTIVE: Final = re.compile(r"<!-- (runs in|ends|file|event): (.+) -->")
_HOME: Final = "/home/you/router"
# Texts that differ from run to run, and what is compared in their place.
_VARIABLE: Final = (
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]"), ""),
    (re.compile(r"\b([A-Z]{2})(?:[0-9a-f]{32}|…)"), r"\1…"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "…"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|min)( ago)?(?=[\s,.;:)]|$)|\bnow\b"), "AGE"),
    (re.compile(r"\d[\d,]* a second"), "N a second"),
    (re.compile(r"[─━╌]+"), "-"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a page: `kind` is run, start, end, file or event; `line` is its line in the page."""

    line: int
    kind: str
    name: str = ""
    command: str = ""
    shown: tuple[str, ...] = ()


def steps(text: str) -> list[Step]:
    """Read a page."""
    found: list[Step] = []
    what, name = "", ""  # of the comment before the next block
    for line, part, block in _parts(text):
        directive = _DIRECTIVE.fullmatch(part)
        if what == "ends":
            found.append(Step(line, "end", name, shown=tuple(block)))
        elif what == "file":
            found.append(Step(line, "file", name, "\n".join(block) + "\n"))
        elif part == "```console":
            found += _commands(block, line, name)
        what, name = directive.groups() if directive else ("", "")
        if what == "event":
            found.append(Step(line, "event", name))
            what, name = "", ""
    return found


def _parts(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield each line of a page that is not blank; for the first line of a block, with the lines of the block."""
    lines = iter(enumerate(text.splitlines(), 1))
    for line, part in lines:
        block = list(takewhile(lambda it: it[1] != "```", lines)) if part.startswith("```") else []
        if part.strip():
            yield line + bool(block), part.strip(), [each for _, each in block]
    yield 0, "", []


def _commands(block: list[str], line: int, stays: str) -> list[Step]:
    commands: list[tuple[int, str, list[str]]] = []
    for n, text in enumerate(block, line):
        if text.startswith("$ "):
            commands.append((n, text[2:], []))
        else:
            commands[-1][2].append(text)
    last = len(commands) - 1
    return [
        Step(number, "start" if stays and n == last else "run", stays, command, tuple(shown))
        for n, (number, command, shown) in enumerate(commands)
    ]


@dataclass
class Player:
    """Runs the steps of a page in a folder.

    Args:
        folder: where commands run and files are written.
        environ: the first environment of the commands; `export` on the page adds to it.
        replacements: texts of the page and their values in this run, for example an address with a free port.
        commands: beginnings of commands on the page, and what is run instead.
        events: the functions for `event` comments, by name.
        patterns: patterns of values that are not known before the run, and their text on the page.
    """

    folder: Path
    environ: dict[str, str]
    replacements: Mapping[str, str]
    commands: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    _running: dict[str, tuple[subprocess.Popen[bytes], Path, int]] = field(default_factory=dict)
    _sids: dict[str, str] = field(default_factory=dict)

    def play(self, step: Step) -> None:
        """Run one step, and compare its output with the page."""
        getattr(self, f"_{step.kind}")(step)

    def close(self) -> None:
        """End the commands that still run, the last one first."""
        for name in list(reversed(self._running)):
            self._stop(name)

    def _run(self, step: Step) -> None:
        if step.command.startswith("export "):
            self._export(step.command)
            return
        with (self.folder / "output").open("w+b") as output:
            code = subprocess.run(
                ["/bin/bash", "-c", self._local(step.command)],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=60,
            ).returncode
            output.seek(0)
            printed = output.read().decode()
        self._remember(printed)
        problem = self._difference(printed.splitlines(), step.shown)
        assert not problem, f"line {step.line}: $ {step.command}\n{problem}\nexit status {code}; it printed:\n{printed}"

    def _start(self, step: Step) -> None:
        path = self.folder / f"output-{step.name}"
        with path.open("wb") as output:
            process = subprocess.Popen(
                ["/bin/bash", "-c", f"exec {self._local(step.command)}"],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self._running[step.name] = (process, path, 0)
        self._wait_for(step)

    def _end(self, step: Step) -> None:
        process, path, _ = self._running[step.name]
        self._running[step.name] = (process, path, len(path.read_bytes()))
        self._stop(step.name, lambda: self._wait_for(step) if step.shown else None)

    def _wait_for(self, step: Step) -> None:
        process, path, offset = self._running[step.name]

        def printed() -> list[str]:
            return path.read_bytes()[offset:].decode(errors="replace").splitlines()

        with suppress(AssertionError):
            wait_until(
                lambda: not self._difference(printed(), step.shown) or process.poll() is not None,
                what="it prints what the page shows",
                within=60,
            )
        text = "\n".join(printed())
        self._remember(text)
        problem = self._difference(printed(), step.shown)
        assert not problem, f"line {step.line}: {step.name}\n{problem}\nit printed:\n{text}"

    def _file(self, step: Step) -> None:
        (self.folder / step.name).write_text(self._local(step.command))

    def _event(self, step: Step) -> None:
        self.events[step.name]()

    def _stop(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        process, _, _ = self._running[name]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        then()
        del self._running[name]

    def _export(self, command: str) -> None:
        """Set variables as a shell does, for all commands that follow."""
        text = f"{self._local(command)} && env -0"
        done = subprocess.run(
            ["/bin/bash", "-c", text], cwd=self.folder, env=self.environ, check=True, capture_output=True, text=True
        )
        self.environ = dict(each.split("=", 1) for each in done.stdout.split("\0") if "=" in each)

    def _local(self, text: str) -> str:
        """Return a text of the page with the values of this run: each SID is the last one that was printed."""
        for begins, here in self.commands.items():
            if text.startswith(begins):
                text = here + text.removeprefix(begins)
        for page, here in self.replacements.items():
            text = text.replace(page, here)
        return re.sub(r"\b([A-Z]{2})…", lambda sid: self._sids.get(sid[1], sid[0]), text)

    def _remember(self, printed: str) -> None:
        self._sids |= {sid[:2]: sid for sid in re.findall(r"\b[A-Z]{2}[0-9a-f]{32}\b", printed)}

    def _difference(self, printed: list[str], shown: tuple[str, ...]) -> str:
        """Return "" if the output is as on the page, else a description of the first difference."""
        actual = [self._comparable(line) for line in printed]
        actual = [line for line in actual if line]
        wanted = [self._comparable(line) for line in shown]
        wanted = [line for line in wanted if line]
        if not wanted:
            return "" if not actual else f"the page shows nothing, and it printed {actual[0]!r}"
        at, skipping = 0, False
        for line in wanted:
            if line == "...":
                skipping = True
                continue
            pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
            place = next((n for n in range(at, len(actual)) if pattern.fullmatch(actual[n])), None)
            if place is None or (place > at and not skipping):
                return f"the page has:  {line}\ninstead of:    {actual[at] if at < len(actual) else '(nothing more)'}"
            at, skipping = place + 1, False
        return "" if skipping or at == len(actual) else f"the page does not have:  {actual[at]}"

    def _comparable(self, line: str) -> str:
        for page, here in self.replacements.items():
            line = line.replace(here, page)
        for own, page in self.patterns.items():
            line = re.sub(own, page, line)
        line = line.replace(str(self.folder), _HOME)
        for pattern, instead in _VARIABLE:
            line = pattern.sub(instead, line)
        return line.strip()
