"""The command line as a whole: version, help, suggestions, errors, and the settings of a running router."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from router.cli.running import address, base_url, load_settings_for_cli
from router.settings import load
from tests.e2e.running import ROUTER, clean_environ


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROUTER, *words], env=clean_environ(), capture_output=True, text=True, check=False, timeout=30
    )


def test_the_version_is_that_of_the_distribution() -> None:
    """`router --version` prints the version of the installed distribution."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert _run("--version").stdout == f"router {project['version']}\n"


def test_help_imports_no_command() -> None:
    """`router --help` imports none of the libraries that the commands need."""
    asked = "import sys; from router.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in modules
    assert not {"flask", "gevent", "pydantic", "redis", "rich", "twilio"} & set(modules)


def test_a_command_ends_without_collecting_garbage() -> None:
    """When a command ends, the garbage collector skips the imported objects, to save a quarter of the run time."""
    asked = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 10_000))
from router.cli import main
main(["flows", "--help"], standalone_mode=False)
print(gc.isenabled())
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["True", "True"]


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        pytest.param(["simluate"], "Did you mean 'simulate'?", id="two letters swapped"),
        pytest.param(["run", "--worker", "2"], "Did you mean '--workers'?", id="an option's name cut short"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(words: list[str], suggestion: str) -> None:
    """For an unknown command or option the error names a similar one, and the exit status is 2."""
    ended = _run(*words)
    assert ended.returncode == 2
    assert suggestion in ended.stderr


def test_an_error_is_one_line() -> None:
    """An error is one line on stderr that begins with the program's name; an invalid setting is exit status 2."""
    ended = subprocess.run(
        [ROUTER, "explain", "--to", "+15550100"],
        env=clean_environ(ROUTER_WORKERS="many"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("router: ROUTER_WORKERS: ")
    assert len(ended.stderr.splitlines()) == 1


def test_commands_find_the_router_that_runs_here(tmp_path: Path) -> None:
    """Commands use the settings that `router run` recorded in the data directory, unless the environment sets them."""
    found = {"ROUTER_REDIS_URL": "unix:///run/valkey.sock", "ROUTER_BIND": "127.0.0.1:9000"}
    (tmp_path / "running.json").write_text(json.dumps(found))
    settings = load_settings_for_cli({"ROUTER_DATA_DIR": str(tmp_path)})
    assert (settings.redis_url, settings.bind) == ("unix:///run/valkey.sock", "127.0.0.1:9000")
    settings = load_settings_for_cli({"ROUTER_DATA_DIR": str(tmp_path), "ROUTER_REDIS_URL": "redis://elsewhere"})
    assert (settings.redis_url, settings.bind) == ("redis://elsewhere", "127.0.0.1:9000")


@pytest.mark.parametrize(
    ("bind", "connect", "url"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        ("0.0.0.0:80", ("127.0.0.1", 80), "http://127.0.0.1:80"),
        (":8000", ("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        ("[::]:8000", ("::1", 8000), "http://[::1]:8000"),
        ("router.internal:8000", ("router.internal", 8000), "http://router.internal:8000"),
    ],
)
def test_commands_derive_the_url_from_the_bind_address(bind: str, connect: tuple[str, int], url: str) -> None:
    """Commands connect to the address of ROUTER_BIND, and to loopback if the router listens on all addresses."""
    settings = load({"ROUTER_BIND": bind})
    assert address(settings) == connect
    assert base_url(settings) == url
