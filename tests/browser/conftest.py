"""The browser: one Chromium for each pytest worker, with a new profile for each test."""

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
# At each start Chromium downloads updates and lists, and the tests' machine may have no Internet access. The host
# names that tests give to the router resolve to this machine.
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
    """Debian's Chromium; without it these tests are skipped, except in CI, where they fail."""
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
    """A maker of pages, each in its own profile, with Playwright's options: `new_page(java_script_enabled=False)`.

    A page that violates its Content-Security-Policy, or whose script fails, fails the test.
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
    """The source of axe-core, which checks accessibility, for `page.evaluate`."""
    return (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
