"""The browser: one Chromium for each pytest worker, and a fresh profile for each test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

# Every window would load two pages for suggestions below its address line: 0.2 s of processor time for each page of a
# test. Chromium takes the last list of such features only, so this one repeats Playwright's.
_FEATURES: Final = (
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxPopup",
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
# Chromium asks Google for updates and lists at every start; the tests' machine may have no way out. Names that tests
# give the router lead to this machine.
_QUIET: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    f"--disable-features={','.join(_FEATURES)}",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP *.lan 127.0.0.1",
    "--no-first-run",
    "--no-sandbox",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; where it is not installed these tests are left out, but never in CI."""
    path = shutil.which("chromium")
    if path is None:
        missing = "chromium is not installed; on Debian: apt-get install --no-install-recommends chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(_QUIET))
        yield running
        running.close()


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """A maker of pages, each in a profile of its own; Playwright's options, as `new_page(java_script_enabled=False)`.

    A page that breaks its Content-Security-Policy, or whose script fails, fails the test.
    """
    contexts, faults = [], list[str]()

    def heard(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    def make(**options: Any) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        context.on("console", heard)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture(scope="session")
def axe(node_modules: Path) -> str:
    """The source of axe-core, which finds what keeps people with disabilities out; `page.evaluate` takes it."""
    return (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
