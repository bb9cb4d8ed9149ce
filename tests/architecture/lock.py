"""The lock files: the exact version of every package that the project needs; `make lock` writes them.

To update a package, install the new version (`.venv/bin/pip install -U gunicorn`), run the tests, and write the lock
files. Other installed packages, such as a handler's dependencies, are not in them.
"""

import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUNTIME = """\
# What `make run` installs: all that the router imports, and setuptools, which installs it. Written by `make lock`.
#
# Versions without hashes, on purpose. Hashes would have to name every file of every version, for all platforms; PyPI
# never replaces a file, so they would guard against a machine's own mirror only, and they would refuse what an index
# builds itself for its platform, as piwheels does. No index is named either: pip asks the one of the machine.
"""
TEST = """\
# What `make test` installs beside requirements.lock: linters, type checkers, pytest. Written by `make lock`.
"""
# The machines for which the lock files are valid; on some versions and platforms packages need further ones.
MACHINES = [
    {"python_full_version": full, "python_version": full.rpartition(".")[0], "sys_platform": name}
    for full in ("3.11.0", "3.11.9", "3.12.9", "3.13.9", "3.14.1")
    for name in ("linux", "darwin")
]


def locks() -> dict[str, str]:
    """Return the content of each lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = _needed([*project["build-system"]["requires"], *project["project"]["dependencies"]])
    test = _needed(project["project"]["optional-dependencies"]["test"])
    return {"requirements.lock": RUNTIME + _lines(runtime), "requirements-test.lock": TEST + _lines(test - runtime)}


def _needed(requirements: Iterable[str]) -> set[tuple[str, str]]:
    """Return name and version of the installed packages that these requirements need, directly or not, on any machine.

    Raises:
        PackageNotFoundError: one of them is not installed here.
    """
    found: dict[tuple[str, str], Distribution] = {}
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = canonicalize_name(requirement.name), extra
            if key not in found:
                found[key] = distribution(requirement.name)
                waiting += _required(found[key], extra)
    return {(each.name, each.version) for each in found.values()}


def _required(package: Distribution, extra: str) -> Iterator[Requirement]:
    for requirement in map(Requirement, package.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate(machine | {"extra": extra}) for machine in MACHINES):
            yield requirement


def _lines(packages: set[tuple[str, str]]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(packages, key=lambda each: each[0].lower()))


def main() -> None:
    """Write both lock files."""
    for name, text in locks().items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
