"""The parts of the documentation that are derived from the code; `make docs` writes them.

Such a part is between two comments, such as `<!-- settings -->` and `<!-- /settings -->`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from router.cli import COMMANDS, summary
from router.flow import file as flow_file
from router.flow.parameter import FIELDS, Field
from router.log import EVENTS
from router.log import FIELDS as LOG_FIELDS
from router.match import FUNCTIONS, VARIABLES
from router.metrics import ALL
from router.settings.documentation import table
from router.web.figures import FIGURES

ROOT = Path(__file__).parents[2]


def settings() -> str:
    """Return the table of the settings that can be environment variables."""
    rows = (row for row in table() if row.variable)
    return _table(
        ("Variable", "Holds", "Default", "Meaning"), ((f"`{r.variable}`", r.type, r.default, r.help) for r in rows)
    )


def file_settings() -> str:
    """Return the table of the settings that can be only in the file."""
    rows = (row for row in table() if not row.variable)
    return _table(("In the file", "Holds", "Meaning"), ((f"`{r.key}`", r.type, r.help) for r in rows))


def commands() -> str:
    """Return the table of the commands."""
    return _table(("Command", "Does"), ((f"`router {name}`", summary(name)) for name in COMMANDS))


def flow_parameters() -> str:
    """Return the table of a flow's parameters."""
    return _table(
        ("Parameter", "In a file", "Default", "Meaning"),
        (
            (
                f"`{each.wire}`{' *' if each.ours else ''}",
                f"`{each.key}`",
                _required(each.wire) if each.required else _shown(each.default),
                each.help + _only(each),
            )
            for each in FIELDS
        ),
    )


def match_variables() -> str:
    """Return the table of the variables that a Match can use."""
    rows = VARIABLES.values()
    return _table(("Name", "Type", "Holds"), ((f"`{each.name}`", each.type, each.help) for each in rows))


def match_functions() -> str:
    """Return the table of the functions that a Match can use."""
    return _table(("Function", "Says"), ((f"`{each.written}`", each.help) for each in FUNCTIONS))


def metrics() -> str:
    """Return the table of the metrics."""
    counted = (
        (
            f"{each._name}_total" if each._type == "counter" else each._name,
            each._type,
            each._labelnames,
            each._documentation,
        )
        for each in ALL
    )
    read = ((each.name, "gauge", each.labels, each.help) for each in FIGURES)
    rows = sorted((*counted, *read))
    return _table(
        ("Metric", "Type", "Labels", "Meaning"),
        ((f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), text) for name, kind, labels, text in rows),
    )


def log_events() -> str:
    """Return the table of the log's events."""
    return _table(("Event", "Level", "Meaning"), ((f"`{name}`", *meaning) for name, meaning in EVENTS.items()))


def log_fields() -> str:
    """Return the table of the log's fields."""
    return _table(("Field", "Meaning"), ((f"`{name}`", meaning) for name, meaning in LOG_FIELDS.items()))


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("README.md", settings),
    "file-settings": ("README.md", file_settings),
    "commands": ("README.md", commands),
    "flow-parameters": ("docs/flex-flows.md", flow_parameters),
    "metrics": ("docs/operations.md", metrics),
    "log-events": ("docs/operations.md", log_events),
    "log-fields": ("docs/operations.md", log_fields),
    "match-variables": ("docs/matching.md", match_variables),
    "match-functions": ("docs/matching.md", match_functions),
}


def written(name: str) -> str:
    """Return this part of its document; raise ValueError if the document has no such part."""
    file, _ = PARTS[name]
    begin, end = _marks(name)
    _, found, rest = (ROOT / file).read_text().partition(begin)
    part, closed, _ = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{file} has no part {begin} … {end}")
    return part.strip()


def main() -> None:
    """Write every part into its document."""
    for name, (file, derive) in PARTS.items():
        document = (ROOT / file).read_text()
        begin, end = (document.index(mark) for mark in _marks(name))
        begin += len(_marks(name)[0])
        (ROOT / file).write_text(f"{document[:begin]}\n{derive()}\n{document[end:]}")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def _required(wire: str) -> str:
    """Say whether a parameter that the REST API requires is required in a file too."""
    return "required" if wire in flow_file.REQUIRED else "required by the REST API, not in a file"


def _only(field: Field) -> str:
    """Return the only integration types or channels that use a parameter, in brackets, "" for all."""
    names = ", ".join(f"`{name}`" for name in (*field.types, *field.channels))
    return f" ({names})" if names else ""


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        default = ",".join(str(each) for each in default)
    return "" if default in ("", None) else f"`{default}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
