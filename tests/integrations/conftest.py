"""A target, and senders that know the way there."""

from collections.abc import Iterator

import pytest

from router.integrations import Integrations
from router.settings import Settings
from tests.integrations.sending import integrations, settings
from tests.integrations.target import Target


@pytest.fixture(scope="module", autouse=True)
def _as_without_authorities(no_authorities: None) -> None:
    """Make senders quickly."""


@pytest.fixture
def target() -> Iterator[Target]:
    """A target that answers an empty `<Response/>`."""
    with Target() as running:
        yield running


@pytest.fixture
def made(target: Target) -> Settings:
    """The settings, with Twilio's webhooks at the target."""
    return settings(target.url().rstrip("/"))


@pytest.fixture
def senders(made: Settings) -> Iterator[Integrations]:
    """The senders, for which target.test is the target too."""
    built = integrations(made, target_test="127.0.0.1")
    yield built
    built.close()
