"""The results of the benchmark: figures with their spread and the required values."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median, the minimum and the maximum of its rounds.

    `unit` is "x" for a ratio. With `at_least` or `at_most` it is a requirement.
    """

    part: str
    name: str
    unit: str
    median: float
    least: float
    most: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the requirement is met; None without a requirement."""
        if self.at_least is None and self.at_most is None:
            return None
        low = self.at_least is None or self.median >= self.at_least
        return low and (self.at_most is None or self.median <= self.at_most)


def figure(  # noqa: PLR0913 - a row of the table
    part: str,
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """Return the figure for the values of all rounds."""
    return Figure(part, name, unit, statistics.median(values), min(values), max(values), at_least, at_most)


def machine() -> dict[str, str]:
    """Return the description of this machine."""
    model = platform.processor() or platform.machine()
    if (found := Path("/proc/cpuinfo")).exists():
        lines = found.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"cores": str(os.cpu_count()), "processor": model, "python": platform.python_version()}


def print_table(figures: Sequence[Figure]) -> None:
    """Print the figures as a Markdown table, ready for the documentation."""
    rows = [("", "figure", "median", "least to most", "wanted", "")]
    rows += [
        (
            each.part,
            each.name,
            _number(each.median, each.unit),
            f"{_number(each.least, '')} to {_number(each.most, '')}",
            _wanted(each),
            {True: "yes", False: "no", None: ""}[each.kept],
        )
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    rows.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    for row in rows:
        click.echo("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def print_json(figures: Sequence[Figure], measured_on: Mapping[str, str], left_out: Sequence[str]) -> None:
    """Print all results as JSON, for a program."""
    found = [asdict(each) | {"kept": each.kept} for each in figures]
    click.echo(json.dumps({"machine": measured_on, "left_out": left_out, "figures": found}, indent=2))


def _wanted(each: Figure) -> str:
    if each.at_least is not None and each.at_most is not None:
        return f"{each.at_least:g} to {each.at_most:g}"
    if each.at_least is not None:
        return f"≥ {each.at_least:g}"
    return "" if each.at_most is None else f"≤ {each.at_most:g}"


def _number(value: float, unit: str) -> str:
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"  # noqa: PLR2004 - three digits
    return f"{text} {unit}".rstrip()
