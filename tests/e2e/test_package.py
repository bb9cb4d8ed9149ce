"""The router as an installed package, without its source folder."""

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import RunningRouter, clean_environ
from tests.e2e.service import Service
from tests.valkey import ValkeyServer

ROOT = Path(__file__).parents[2]
# A module with the package's name, in the folder in which a command is started.
FOREIGN = "raise ImportError('a module of the folder was taken for the router')"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the source, because building writes files there."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    shutil.copytree(ROOT / "router", source / "router", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("wsgi.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new environment with the wheel and with this environment's libraries; no index is used."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    programs = folder / "bin"
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # `.pth` files in added paths are not read, so this environment's editable install of the router is not found.
    (packages / "libraries.pth").write_text("\n".join({sysconfig.get_path(name) for name in ("purelib", "platlib")}))
    _pip("--python", programs / "python", "install", "--no-deps", "--no-index", wheel)
    return programs


def _pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def running(installed: Path, tmp_path: Path) -> Iterator[RunningRouter]:
    """`router run` of the wheel, in an empty folder."""
    router = RunningRouter(tmp_path, program=str(installed / "router"))
    try:
        yield router.up()
    finally:
        router.end()


def test_the_wheel_has_the_program_only(wheel: Path) -> None:
    """The wheel has all files of `router` and wsgi.py, and neither benchmarks, tests nor `config`."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"router", "wsgi.py"}
    kept = [path for path in (ROOT / "router").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not {str(path.relative_to(ROOT)) for path in kept} - names


def test_it_runs_in_an_empty_folder(installed: Path, running: RunningRouter) -> None:
    """In an empty folder, `router run` starts with the demo's flows, delivers a message, and stops on a signal."""
    simulate = (installed / "router", "simulate", "sms", "--body", "Hola", "--json")
    sent = subprocess.run(simulate, cwd=running.folder, env=clean_environ(), capture_output=True, text=True, check=True)
    message = json.loads(sent.stdout)
    assert "You wrote: Hola" in message["answer"]
    assert message["delivery"]["status"] == "delivered"
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0


def test_its_wsgi_application_is_served(installed: Path, valkey: ValkeyServer, tmp_path: Path) -> None:
    """Gunicorn imports configuration and application by their names, in any folder."""
    command = (installed / "python", "-m", "gunicorn", "-c", "python:router.process.gunicorn_conf", "wsgi:app")
    service = Service(tmp_path, valkey.url, workers=1, command=command)
    try:
        assert service.get("/readyz")[0] == 200
        assert service.stop() == 0
    finally:
        service.close()


def test_it_runs_as_a_module(installed: Path, tmp_path: Path) -> None:
    """`python -m router` is the same command line, and the package has py.typed for type checkers."""
    command = (installed / "python", "-m", "router", "--help")
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found.startswith("Usage: router [OPTIONS] COMMAND")
    where = (installed / "python", "-c", "import router; print(*router.__path__)")
    package = Path(subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip())
    assert package.is_relative_to(installed.parent)
    assert (package / "py.typed").exists()


def test_a_router_py_in_the_folder_is_not_imported(tmp_path: Path) -> None:
    """`router run` imports no module with a name of its own from the working directory."""
    (tmp_path / "router").mkdir()
    for name in ("router.py", "wsgi.py", "gunicorn.py"):
        (tmp_path / name).write_text(FOREIGN)
    router = RunningRouter(tmp_path)
    try:
        assert router.up().status_of("/readyz") == 200
    finally:
        router.end()
