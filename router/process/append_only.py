"""Repairs the end of the embedded store's append-only file after a crash or a power failure; keeps the removed part.

The store answers a command when it is on disk, so an incomplete write was never acknowledged. It is one incomplete
command or transaction, perhaps followed by zeros that the file system had allocated. Any other damage is not repaired
automatically.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from router.errors import RouterError

_FOLDER: Final = "appendonlydir"
_MANIFEST: Final = "appendonly.aof.manifest"
_READABLE: Final = re.compile(r"ok_up_to=([0-9]+)")
_HEADER: Final = re.compile(rb"[*$]([0-9]{1,10})\r\n")
_HALF_A_HEADER: Final = re.compile(rb"[*$]?[0-9]{0,10}\r?")
_COMMAND: Final = re.compile(rb"\r\n\*[0-9]+\r\n\$[0-9]+\r\n")
# The maximum size of an incomplete transaction: the router's largest write is a few MB.
_MOST: Final = 64 * 2**20
_BLOCK: Final = 2**20
# How many copies of removed parts are kept. They contain messages, so old ones are deleted.
_COPIES: Final = 10


class DamagedFile(RouterError):  # noqa: N818 - named for what happened
    """An append-only file with damage that is not the result of a crash."""


@dataclass(frozen=True, slots=True)
class _End:
    """The unreadable end of a file: `commands` bytes from `at`, followed by `zeros` bytes of zeros."""

    at: int
    commands: int
    zeros: int

    def __str__(self) -> str:
        parts = [f"an incomplete command of {self.commands:,} bytes"] if self.commands else []
        parts += [f"{self.zeros:,} bytes of zeros"] if self.zeros else []
        return " and ".join(parts)


def repair(folder: Path, binary: Path, *, now: datetime) -> str:
    """Cut an incomplete write from the end of the store's file; return a sentence about it, "" if nothing was cut.

    Args:
        folder: the store's folder, not in use by any other process.
        binary: valkey-server, which acts as valkey-check-aof if it is started by that name.
        now: for the name of the copy.

    Raises:
        DamagedFile: the file has other damage, or cannot be checked.
        OSError: the end cannot be copied or cut.
    """
    file = _last_file(folder)
    if file is None:
        return ""
    size, readable = file.stat().st_size, _readable(file, binary)
    if readable >= size:
        return ""
    end = _end(file, readable, size)
    if end is None:
        raise DamagedFile(
            f"{file} cannot be read from byte {readable:,} of {size:,} on, and no crash leaves a file so; it was not "
            f"changed: restore {folder} from a backup, or move it away to begin with an empty store"
        )
    copy = folder / f"{file.name}.cut-{now:%Y%m%dT%H%M%SZ}-{readable}"
    _keep(file, end, copy)
    with file.open("r+b") as opened:
        opened.truncate(readable)
        os.fsync(opened.fileno())
    for old in sorted(folder.glob("*.cut-*"), key=lambda path: path.stat().st_mtime)[:-_COPIES]:
        old.unlink()
    return f"{file} ended with {end}, as a crash leaves it: cut, and kept as {copy}; nothing in it was acknowledged"


def _last_file(folder: Path) -> Path | None:
    """Return the current file, None if it does not exist yet or the manifest is invalid, which Valkey reports."""
    try:
        manifest = (folder / _FOLDER / _MANIFEST).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    name = ""
    for line in manifest.splitlines():
        words = line.split()
        entry = dict(zip(words[::2], words[1::2], strict=False))
        name = entry.get("file", "") if entry.get("type") == "i" else name
    file = folder / _FOLDER / name
    return file if name and file.is_file() else None


def _readable(file: Path, binary: Path) -> int:
    """Return how many bytes of a file valkey-check-aof can read, without an incomplete transaction."""
    command = ["valkey-check-aof", str(file)]
    checked = subprocess.run(command, executable=binary, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - our own binary and path
    if checked.returncode == 0:
        return file.stat().st_size
    output = (checked.stdout + checked.stderr).decode(errors="replace").strip()
    if found := _READABLE.search(output):
        return int(found[1])
    raise DamagedFile(f"{file} cannot be checked: {output.splitlines()[-1] if output else checked.returncode}")


def _end(file: Path, readable: int, size: int) -> _End | None:
    """Return the unreadable end; None if it is not the result of a crash."""
    with file.open("rb") as opened:
        last = _without_zeros(opened.fileno(), readable, size)
        if last - readable > _MOST:
            return None
        commands = os.pread(opened.fileno(), last - readable, readable)
    if commands and not _is_incomplete(commands):
        return None
    return _End(readable, len(commands), size - last)


def _without_zeros(file: int, start: int, end: int) -> int:
    """Return the position at which the zeros before `end` begin."""
    while end > start:
        begin = max(start, end - _BLOCK)
        block = os.pread(file, end - begin, begin).rstrip(b"\0")
        if block:
            return begin + len(block)
        end = begin
    return start


def _is_incomplete(written: bytes) -> bool:
    """Return whether this is the beginning of one command, or of one transaction, and nothing else."""
    at = 0
    try:
        while (following := _next(written, at)) is not None:
            name = written[at:following].split(b"\r\n", 3)[2].upper()
            if name == b"EXEC" or (at == 0 and name != b"MULTI"):
                return False  # it is complete, and unreadable for another reason
            at = following
    except ValueError:
        return False
    # After a wrong length the rest looks like one long word: then it contains further commands.
    return not _COMMAND.search(written, at + 1)


def _next(written: bytes, at: int) -> int | None:
    """Return the end of the command at `at`, None if it is incomplete; raise ValueError for invalid data."""
    number, at = _number(written, at, b"*")
    if at >= 0 and not number:
        raise ValueError("a command without words")
    for _ in range(number):
        length, at = _number(written, at, b"$")
        if at < 0:
            return None
        ending = written[at + length : at + length + 2]
        if ending != b"\r\n":
            if len(written) >= at + length + 2 or ending not in (b"", b"\r"):
                raise ValueError("a word does not end where it says")
            return None
        at += length + 2
    return at if at >= 0 else None


def _number(written: bytes, at: int, mark: bytes) -> tuple[int, int]:
    """Read `*3` or `$11`; return the number and the end of the line, or 0 and -1 if the line is incomplete."""
    if written[at : at + 1] not in (mark, b""):
        raise ValueError("not a command")
    if found := _HEADER.match(written, at):
        return int(found[1]), found.end()
    if _HALF_A_HEADER.fullmatch(written, at):
        return 0, -1
    raise ValueError("not a command")


def _keep(file: Path, end: _End, copy: Path) -> None:
    """Copy the end that is to be cut, and sync it to disk; the zeros become a hole in the copy."""
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with file.open("rb") as opened, os.fdopen(descriptor, "wb") as kept:
        opened.seek(end.at)
        kept.write(opened.read(end.commands))
        kept.truncate(end.commands + end.zeros)
        kept.flush()
        os.fsync(kept.fileno())
