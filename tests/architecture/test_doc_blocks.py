"""The code blocks of README and docs/ work: flows, settings, Python and commands."""

import ast
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import click
import pytest

from router.cli import main
from router.flow import file as flow_file
from router.flow.diff import diff
from router.process.embedded import CONFIG
from router.settings import load
from tests.architecture.blocks import SHELL, Block, blocks, router_commands, script, spans

BLOCKS = blocks()
# What a block may be that no test here reads.
OTHER = {"cel", "css", "html", "js", "json", "text"}
ACCOUNT = "AC" + "0" * 32


def of(*languages: str) -> pytest.MarkDecorator:
    """Run a test once for each block in one of these languages."""
    found = [pytest.param(block, id=block.place) for block in BLOCKS if block.language in languages]
    assert found, f"no block is {languages}"
    return pytest.mark.parametrize("block", found)


def test_every_block_is_known() -> None:
    """Every language of a code block is checked by a test, or listed in `OTHER`."""
    known = {*SHELL, *OTHER, "toml", "python", "conf"}
    assert not [(block.place, block.language) for block in BLOCKS if block.language not in known]


@of("toml")
def test_toml_is_loaded(block: Block, tmp_path: Path) -> None:
    """A TOML block with flows can be applied to an account without flows; any other TOML block is valid settings."""
    document = tomllib.loads(block.text)
    if "flow" not in document:
        file = tmp_path / "router.toml"
        file.write_text(block.text, encoding="utf-8")
        load({"ROUTER_CONFIG": str(file)})
        return
    numbers = count()
    flows = flow_file.load(
        block.text,
        file=block.place,
        account_sid=ACCOUNT,
        handlers={"echo", "orders"},
        now=1_800_000_000,
        new_sid=lambda: f"FO{next(numbers):032x}",
    )
    assert len(diff((), flows)) == len(document["flow"])


@of("python")
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python block has no undefined name, and runs; of a block that a page's test runs only the imports are run."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "0" * 32)
    tree = ast.parse(block.text, block.place)
    if block.file:  # a test plays its page, whose files may import each other
        page = block.place.partition(":")[0]
        for each in BLOCKS:
            if each.file and each.place.startswith(f"{page}:"):
                (tmp_path / each.file).write_text(each.text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        tree.body = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    exec(compile(tree, block.place, "exec"), {"__name__": "__main__"})  # noqa: S102 - what stands in our documents
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E9,F", "--stdin-filename=block.py", "-"]
    found = subprocess.run(ruff, input=block.text, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@of(*SHELL)
def test_shell_can_be_typed(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell block is valid, and every `router …` in it has an existing command, options and values."""
    text = script(block)
    bash = ["/bin/bash", "-n"]
    parsed = subprocess.run(bash, input=text, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    monkeypatch.chdir(tmp_path)
    for words in router_commands(text):
        # Some options need an existing file: each is made here, also one of another folder.
        here = [word.rpartition("/")[2] if re.fullmatch(r"[\w./-]+\.(toml|jsonl)", word) else word for word in words]
        for name in here:
            if re.fullmatch(r"[\w-]+\.(toml|jsonl)", name):
                (tmp_path / name).touch()
        parse(here)


def parse(words: list[str]) -> None:
    """Parse a command line without running the command.

    Raises:
        UsageError: there is no such command, option or value.
    """
    command: click.Command = main
    with ExitStack() as opened:
        context = opened.enter_context(main.make_context("router", words))
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            command, context = found, opened.enter_context(found.make_context(name, rest, parent=context))


@pytest.mark.parametrize("span", [pytest.param(text, id=f"{place} {text}") for place, text in spans()])
def test_a_command_in_the_text_exists(span: str) -> None:
    """A command in a sentence exists, and so do its options; their values may be left out."""
    command: click.Command = main
    words = span.split()[1:]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    context = click.Context(command, help_option_names=["-h", "--help"])
    known = {name for parameter in command.get_params(context) for name in parameter.opts}
    assert not {word.strip("[]").partition("=")[0] for word in words if word.startswith(("-", "[-"))} - known


def test_a_page_changes_flows_without_a_question() -> None:
    """A command of a tutorial that changes flows has `--yes`: a terminal would ask, which its output does not show."""
    changes = [
        (block.place, words)
        for block in BLOCKS
        if block.language == "console"
        for words in router_commands(script(block))
        if words[:2] == ["flows", "apply"]
    ]
    assert len(changes) > 2
    assert not [each for each in changes if "--yes" not in each[1]]


@of("conf")
def test_a_store_configuration_is_that_of_the_embedded_store(block: Block) -> None:
    """The lines that a page gives for a store of the operator are lines of the embedded store's configuration."""
    assert set(block.text.splitlines()) <= set(CONFIG.read_text(encoding="utf-8").splitlines())
