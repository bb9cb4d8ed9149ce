"""Recorded traffic: a file of JSON lines, one webhook on each, as `router record` writes and `replay-traffic` reads it.

A line is an object:

    at          when it was accepted: ISO 8601, UTC, with milliseconds
    channel     as in the path of the webhook: sms, whatsapp, …
    method      POST or GET
    parameters  the webhook's parameters in their order, decoded; a name that came several times has a list
    redacted    true when they are not those of a customer any more; left out otherwise

Lines may be taken out, moved, edited and put together with those of other files.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from router.cli.send.signing import Fields, Method
from router.errors import NotAMessage, RouterError
from router.message.inbound import MAX_FIELDS, Message
from router.printable import to_json

# A webhook's body is at most 128 KiB; escaped as JSON it may grow sixfold.
LINE_MOST: Final = 1024 * 1024
# What is read into memory at once: some 300,000 messages.
FILE_MOST: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """A webhook that arrived: when, in seconds since 1970, and what it said; `number` is its line in the file."""

    at: float
    channel: str
    method: Method
    form: Fields
    redacted: bool = False
    number: int = 0

    def line(self) -> str:
        """Write it as a line of a file."""
        parameters: dict[str, Any] = {}
        for name, value in self.form:
            if name not in parameters:
                parameters[name] = value
            elif isinstance(parameters[name], list):
                parameters[name].append(value)
            else:
                parameters[name] = [parameters[name], value]
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"at": at, "channel": self.channel, "method": self.method, "parameters": parameters}
        return to_json(record | ({"redacted": True} if self.redacted else {})) + "\n"


class Writer:
    """Writes lines to a new file that only its owner can read.

    Args:
        path: of the file.
        append: add to it when it is there.

    Raises:
        RouterError: it is there already, or cannot be made or written.
    """

    def __init__(self, path: Path, *, append: bool) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if append else os.O_EXCL)
        try:
            number = os.open(path, flags, 0o600)
            if stat.S_ISREG(os.fstat(number).st_mode):
                os.fchmod(number, 0o600)  # it may be there already, and be open to others
            self._file = os.fdopen(number, "a", encoding="utf-8")
            if (end := os.fstat(number).st_size) and os.pread(number, 1, end - 1) != b"\n":
                self._file.write("\n")  # an editor took the line end away
        except FileExistsError:
            if path.is_dir():
                raise RouterError(f"{path} cannot be written: it is a folder") from None
            raise RouterError(f"{path} is there already: name another file, or add to this one with --append") from None
        except OSError as error:
            raise RouterError(f"{path} cannot be written: {error.strerror}") from None

    def write(self, lines: Iterable[str]) -> None:
        """Write lines, and have them in the file before it returns."""
        try:
            self._file.writelines(lines)
            self._file.flush()
        except OSError as error:
            raise RouterError(f"{self._path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError:  # said by `write` already
            return


def read(path: Path) -> list[Recorded]:
    """Read a file of recorded traffic, - for standard input, whole or not at all.

    Raises:
        RouterError: it cannot be read, is too large, or a line is none of a recording; the sentence has its number.
    """
    try:
        with click.open_file(str(path), "rb") as file:
            content = file.read(FILE_MOST + 1)
    except OSError as error:
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else error.strerror
        raise RouterError(f"{path} cannot be read: {reason}") from None
    if len(content) > FILE_MOST:
        raise RouterError(
            f"{path} is over {FILE_MOST // 1024**2} MiB: take it in parts, as `split -l 100000` makes them"
        )
    return list(_records(path, content))


def _records(path: Path, content: bytes) -> Iterator[Recorded]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield replace(_record(line), number=number)
        except ValueError as error:
            raise RouterError(f"{path}, line {number}: {error}") from None


def _record(line: bytes) -> Recorded:
    """Read one line. Raises ValueError with a sentence."""
    if len(line) > LINE_MOST:
        raise ValueError("over 1 MiB, which no webhook is")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON: damaged, or no file of `router record`") from None
    if not isinstance(found, Mapping) or not isinstance(found.get("parameters"), Mapping):
        raise ValueError("not a recorded webhook: an object with parameters is wanted")  # noqa: TRY004 - said by line
    method = found.get("method", "POST")
    if method not in ("POST", "GET"):
        raise ValueError(f"method is {str(method)[:20]!r}, not POST or GET")
    form = list(_pairs(found["parameters"]))
    if len(form) > MAX_FIELDS:
        raise ValueError(f"{len(form)} parameters; {MAX_FIELDS} is the most that is taken")
    try:
        channel = Message.parse(form).channel
    except NotAMessage as error:
        raise ValueError(f"not an inbound message: {error}") from None
    if found.get("channel", channel) != channel:
        raise ValueError(f"channel is {str(found['channel'])[:20]!r}, and its addresses are of {channel}")
    return Recorded(_time(found.get("at")), channel, method, form, found.get("redacted") is True)


def _pairs(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str) or not _is_text(name + each):
                raise ValueError(f"parameter {name[:40]!r} is not a text")
            yield name, each


def _is_text(value: str) -> bool:
    """Say whether a text can be sent: JSON can hold half of a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(at: object) -> float:
    try:
        return datetime.fromisoformat(str(at)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"at is {str(at)[:40]!r}, not a time as 2026-11-21T09:30:00.000Z") from None
