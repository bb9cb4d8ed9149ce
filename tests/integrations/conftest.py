"""A target, and senders that reach it."""

from collections.abc import Iterator

import pytest

from router.integrations import Integrations
from router.settings import Settings
from tests.integrations.sending import integrations, settings
from tests.integrations.target import Target


@pytest.fixture(scope="module", autouse=True)
def _as_without_authorities(no_authorities: None) -> None:
    """Make senders without reading the system's certificate authorities."""


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that answers with an empty `<Response/>`."""
    with Target() as running:
        yield running


@pytest.fixture
def made(target: Target) -> Settings:
    """Settings with the target as Twilio's webhooks URL."""
    return settings(target.url().rstrip("/"))


@pytest.fixture
def senders(made: Settings) -> Iterator[Integrations]:
    """Senders for which target.test resolves to the target."""
    built = integrations(made, target_test="127.0.0.1")
    yield built
    built.close()
