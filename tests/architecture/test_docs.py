"""The documentation has all settings, commands and flow parameters, with the same words as the code."""

import ast
import dataclasses
import re
import tomllib

import click
import pytest

from router.cli import COMMANDS, main, summary
from router.flow.parameter import FIELDS
from router.log import EVENTS
from router.log import FIELDS as LOG_FIELDS
from router.match import try_expression
from router.message import Message
from tests.architecture.readme import PARTS, ROOT, written


@pytest.mark.parametrize("name", PARTS)
def test_the_derived_parts_match_the_code(name: str) -> None:
    """A derived part of the documentation has the names and explanations of the code (`make docs` writes it)."""
    _, derive = PARTS[name]
    assert written(name) == derive(), "run `make docs`"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_each_commands_own_summary(name: str) -> None:
    """The summaries in `router --help`, which are read from the files without importing them, are the commands' own."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == summary(name)


def test_the_log_has_the_events_and_fields_that_are_described() -> None:
    """Each event that the router logs, and each of its fields, is in the tables of docs/operations.md, and no other."""
    events, fields = set(), set()
    for file in (ROOT / "router").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            event = call.args[0].value
            logs = isinstance(call.func, ast.Attribute) and call.func.attr in {"info", "warning", "error"}
            if (logs and re.fullmatch(r"\w+", str(event))) or event in {"attempt", "chat", "webhook"}:
                events.add(event)
                fields |= {each.arg for each in call.keywords if each.arg}
    assert events == EVENTS.keys()
    assert fields <= LOG_FIELDS.keys()


def test_a_flow_parameter_is_listed_as_in_a_file() -> None:
    """The second column of the flow parameters has their names in JSON and flow files."""
    rows = [line.split("|") for line in written("flow-parameters").splitlines()[2:]]
    assert [row[2].strip(" `") for row in rows] == [each.key for each in FIELDS]


def test_the_warnings_about_flows_are_listed() -> None:
    """docs/flex-flows.md has a line for each place in the code that warns about a flow."""
    calls = [
        node
        for file in (ROOT / "router").rglob("*.py")
        if "Warned(" in (source := file.read_text())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Warned"
    ]
    [section] = re.findall(
        r"^## Warnings\n(.*?)^## ", (ROOT / "docs/flex-flows.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(re.findall(r"^- ", section, re.MULTILINE)) == len(calls)


def test_every_document_is_linked() -> None:
    """The README links every page of docs/."""
    readme = (ROOT / "README.md").read_text()
    assert not [file.name for file in (ROOT / "docs").glob("*.md") if f"docs/{file.name}" not in readme]


def test_the_fields_of_a_message_are_documented() -> None:
    """docs/handlers.md names every field and property of a message."""
    page = (ROOT / "docs" / "handlers.md").read_text()
    named = {each.name for each in dataclasses.fields(Message)}
    named |= {name for name, each in vars(Message).items() if isinstance(each, property)}
    assert not {name for name in named if f"`{name}`" not in page}


def test_the_examples_of_a_match_work() -> None:
    """Every `Match` in docs/matching.md can be saved."""
    document = (ROOT / "docs" / "matching.md").read_text()
    examples = re.findall(r"```cel\n(.*?)```", document, re.DOTALL)
    examples += [match for toml in re.findall(r"```toml\n(.*?)```", document, re.DOTALL) for match in _matches(toml)]
    assert len(examples) > 10
    for example in examples:
        try_expression(example.strip())


def _matches(toml: str) -> list[str]:
    return [flow["match"] for flow in tomllib.loads(toml)["flow"] if "match" in flow]


def test_links_between_the_documents_work() -> None:
    """Every linked file exists, and so does the heading that the link names."""
    dead = []
    for source in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for path, anchor in re.findall(r"\]\(([^)\s#:]*)(?:#([^)\s]*))?\)", source.read_text()):
            file = (source.parent / path).resolve() if path else source
            if not file.exists() or (anchor and anchor not in _anchors(file.read_text())):
                dead.append(f"{source.name}: {path}#{anchor}")
    assert not dead


def _anchors(document: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
