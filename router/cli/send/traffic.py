"""The file of recorded messages, which `router record` writes and `replay-traffic` reads: JSON lines.

A line is an object:

    at          when the message was accepted: ISO 8601, UTC, with milliseconds
    channel     as in the path of the webhook: sms, whatsapp, …
    method      POST or GET
    parameters  the webhook's parameters in their order, decoded; a name with several values has a list
    redacted    true if `--redact` has masked the parameters; left out otherwise

Lines can be removed, moved, edited and combined with lines of other files.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from router.cli.send.signing import Fields, Method
from router.errors import NotAMessage, RouterError
from router.message.inbound import Message
from router.message.raw import MAX_FIELDS
from router.printable import to_json

# A webhook's body is at most 128 KiB; as JSON it may be six times as long.
LINE_MOST: Final = 1024 * 1024
# The file is read into memory: some 300,000 messages.
FILE_MOST: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded webhook: its time in seconds since 1970, its content, and the number of its line in the file."""

    at: float
    channel: str
    method: Method
    form: Fields
    redacted: bool = False
    number: int = 0

    def line(self) -> str:
        """Return it as a line of a file."""
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


def write(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a new file that only its owner can read; raise RouterError if that is not possible."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(lines)
    except FileExistsError:
        raise RouterError(f"{path} already exists: name another file") from None
    except OSError as error:
        raise RouterError(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> list[Recorded]:
    """Read a whole file of recorded messages, - for standard input.

    Raises:
        RouterError: it cannot be read, is too large, or one of its lines is invalid.
    """
    try:
        with click.open_file(str(path), "rb") as file:
            content = file.read(FILE_MOST + 1)
    except OSError as error:
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else error.strerror
        raise RouterError(f"{path} cannot be read: {reason}") from None
    if len(content) > FILE_MOST:
        raise RouterError(
            f"{path} is over {FILE_MOST // 1024**2} MiB: split it into parts, for example with `split -l 100000`"
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
    """Read one line; raise ValueError with the reason if it is invalid."""
    if len(line) > LINE_MOST:
        raise ValueError("over 1 MiB: no webhook is that large")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("not JSON: the file is damaged, or `router record` did not write it") from None
    if not isinstance(found, Mapping) or not isinstance(found.get("parameters"), Mapping):
        raise ValueError("not a recorded webhook: it must be an object with parameters")  # noqa: TRY004 - shown by line
    method = found.get("method", "POST")
    if method not in ("POST", "GET"):
        raise ValueError(f"method is {str(method)[:20]!r}, not POST or GET")
    form = list(_pairs(found["parameters"]))
    if len(form) > MAX_FIELDS:
        raise ValueError(f"{len(form)} parameters; {MAX_FIELDS} are allowed")
    try:
        channel = Message.parse(form).channel
    except NotAMessage as error:
        raise ValueError(f"not an inbound message: {error}") from None
    if found.get("channel", channel) != channel:
        raise ValueError(f"channel is {str(found['channel'])[:20]!r}, but the addresses are of {channel}")
    return Recorded(_time(found.get("at")), channel, method, form, found.get("redacted") is True)


def _pairs(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str) or not _is_text(name + each):
                raise ValueError(f"parameter {name[:40]!r} is not a text")
            yield name, each


def _is_text(value: str) -> bool:
    """Return whether a text can be sent: JSON can contain lone surrogates, which cannot be encoded."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(at: object) -> float:
    try:
        return datetime.fromisoformat(str(at)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"at is {str(at)[:40]!r}, not a time such as 2026-11-21T09:30:00.000Z") from None
