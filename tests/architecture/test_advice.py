"""Each `router …` in a message, a help text or a document is an existing command with existing options."""

import ast
import re
from collections.abc import Iterator

import click
import pytest

from router.cli import main
from tests.architecture.readme import ROOT

_COMMAND = re.compile(r"`(?:\S*/)?router ([^`]+)`")
_EXAMPLE = re.compile(r"^(?: {4,}|\$ )(?:\S*/)?router (.+)$", re.MULTILINE)
# A module without it has no advice; reading the texts of all modules takes half a second.
_PERHAPS = re.compile(r"(?:`|\$ | {4})(?:\S*/)?router ")
_DOCUMENTS = ("README.md", "docs/*.md", "config/*.*", "deploy/*.*")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def _texts(source: str) -> Iterator[str]:
    """Yield every string of a module: f-strings with … for their values, adjacent strings as one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            yield "".join(str(part) for part in parts)


def _named() -> Iterator[tuple[str, str]]:
    for file in sorted((ROOT / "router").rglob("*.py")):
        source = file.read_text()
        for text in _texts(source) if _PERHAPS.search(source) else ():
            for found in (*_COMMAND.findall(text), *_EXAMPLE.findall(text)):
                yield str(file.relative_to(ROOT)), found
    for pattern in _DOCUMENTS:
        for file in sorted(ROOT.glob(pattern)):
            text = file.read_text()
            for found in (*_COMMAND.findall(text), *re.findall(r"^(?:\$ )?router (.+)$", text, re.MULTILINE)):
                yield str(file.relative_to(ROOT)), found


@pytest.fixture(scope="module")
def named() -> list[tuple[str, str]]:
    """The files that name commands, and the commands; parameters would be searched for by every pytest worker."""
    return sorted(set(_named()))


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the first words name, and the other words; raise LookupError if there is none."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0][0].isalpha():
        word = words[0].rstrip(".,;:…").partition("|")[0]
        found = command.get_command(click.Context(command), word)
        if found is None:
            raise LookupError(f"{word} is no command of {command.name}")
        command, words = found, words[1:]
    return command, words


def _wrong(typed: str) -> str:
    """Say what is wrong with a command, "" for nothing."""
    try:
        command, words = _command(re.split(r" \| |   ", typed)[0].split())
    except LookupError as error:
        return str(error)
    known = {option for each in command.get_params(click.Context(command)) for option in each.opts}
    unknown = [each for each in _OPTION.findall(" ".join(words)) if each not in known]
    return f"{command.name} has no option {', '.join(unknown)}" if unknown else ""


def test_unrouted_messages_are_replayed_by_the_current_flows(named: list[tuple[str, str]]) -> None:
    """Wherever a command replays unrouted messages, it uses the current flows: the old flow may be disabled."""
    replays = [(file, typed) for file, typed in named if typed.startswith("deliveries replay --status unrouted")]
    assert {file for file, _ in replays} >= {"docs/operations.md", "docs/local-testing.md", "deploy/alerts.yml"}
    assert not [each for each in replays if "--route current" not in each[1]]


def test_commands_are_found_in_messages_and_documents(named: list[tuple[str, str]]) -> None:
    """The search finds commands in messages, help texts and documents, so that the next test is not empty."""
    files = {file for file, _ in named}
    assert {"router/cli/here.py", "README.md", "docs/operations.md", "router/cli/connect/connect.py"} <= files


def test_a_named_command_and_its_options_exist(named: list[tuple[str, str]]) -> None:
    """Each named command exists, and so does every option that is named with it."""
    wrong = [(file, typed, reason) for file, typed in named if (reason := _wrong(typed))]
    assert not wrong
