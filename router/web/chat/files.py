"""The files of the widget as they are sent: minified, compressed once, and in a folder named by the hash of all files.

The scripts are modules that import each other by relative names, so all are in this folder, and browsers may cache them
permanently.
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
# Comments that fill whole lines: they are a sixth of the scripts.
_COMMENT: Final = re.compile(r"^[ \t]*(?://[^\n]*|/\*.*?\*/)[ \t]*\n", re.MULTILINE | re.DOTALL)
_INDENT: Final = re.compile(r"^\s+", re.MULTILINE)
# Characters around which CSS needs no white space.
_AROUND: Final = re.compile(r"\s*([{};,])\s*")


@dataclass(frozen=True, slots=True)
class File:
    """One file, plain and compressed, with its type."""

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
    found, hashed = {}, sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TYPES:
            text = lean(path.read_text(encoding="utf-8"))
            if path.suffix == ".css":
                text = _AROUND.sub(r"\1", text.replace(": ", ":")).replace(";}", "}")
            content = text.encode()
            name = path.relative_to(folder).as_posix()
            found[name] = File(content, gzip.compress(content, mtime=0), _TYPES[path.suffix])
            hashed.update(name.encode() + b"\0" + content)
    return Files(found, hashed.hexdigest()[:16])


def lean(text: str) -> str:
    """Remove comments that fill whole lines, indentation and empty lines."""
    return _INDENT.sub("", _COMMENT.sub("", text))
