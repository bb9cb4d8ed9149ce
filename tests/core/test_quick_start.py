"""What each kind of process imports, as imports take most of its start."""

import subprocess
import sys

_IMPORTED = """
import sys
import {}
print(*sorted({} & sys.modules.keys()))
"""
_LARGE = {"asyncio", "flask", "gevent", "redis", "rich", "structlog", "twilio", "urllib3"}


def _imported_with(module: str, of: set[str] = _LARGE) -> list[str]:
    return subprocess.check_output([sys.executable, "-c", _IMPORTED.format(module, of)], text=True).split()


def test_the_parent_process_imports_little() -> None:
    """The parent process of `router run` imports neither the store's client nor what prints tables."""
    assert _imported_with("router.cli.run.run") == []


def test_a_worker_imports_no_terminal_library_and_no_other_client() -> None:
    """A worker imports neither terminal libraries nor HTTP clients that it does not use."""
    assert _imported_with("router.app") == ["asyncio", "flask", "gevent", "redis"]


def test_the_process_of_handlers_imports_no_client() -> None:
    """The process of handlers imports no HTTP client and no store client."""
    assert _imported_with("router.handling.child", {"flask", "gevent", "http.client", "redis"}) == ["gevent"]
