"""The files of the widget, as they are sent: without comments, packed once, and under one hash of them all.

The scripts are modules that import each other by their plain names, so all have the same folder, and a browser may keep
them for ever.
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
}
# A sixth of the scripts are comments, and they would be a sixth of what visitors load. Whole lines only.
_COMMENT: Final = re.compile(r"^[ \t]*(?://[^\n]*|/\*.*?\*/)[ \t]*\n", re.MULTILINE | re.DOTALL)
_INDENT: Final = re.compile(r"^\s+", re.MULTILINE)
# What CSS does not need white space beside.
_AROUND: Final = re.compile(r"\s*([{};,])\s*")


@dataclass(frozen=True, slots=True)
class File:
    """One file, plain and packed, and its type."""

    content: bytes = field(repr=False)
    gzipped: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class Files:
    """All files by their names, which may have a folder (`locales/es.json`), and their hash."""

    by_name: Mapping[str, File]
    hashed: str


def load(folder: Path = FOLDER) -> Files:
    """Read all files of the folder."""
    found, whole = {}, sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TYPES:
            text = lean(path.read_text(encoding="utf-8"))
            if path.suffix == ".css":
                text = _AROUND.sub(r"\1", text.replace(": ", ":")).replace(";}", "}")
            content = text.encode()
            name = path.relative_to(folder).as_posix()
            found[name] = File(content, gzip.compress(content, mtime=0), _TYPES[path.suffix])
            whole.update(name.encode() + b"\0" + content)
    return Files(found, whole.hexdigest()[:16])


def lean(text: str) -> str:
    """Leave out comments that have their lines for themselves, indentation and empty lines."""
    return _INDENT.sub("", _COMMENT.sub("", text))
