"""The description of errors that the program did not expect."""

import pytest

from router.errors import StoreRefused, unexpected


def failed(error: Exception) -> str:
    """Raise an error and return its description."""
    with pytest.raises(type(error)) as caught:
        raise error
    return unexpected(caught.value)


def test_an_unexpected_error_is_logged_with_its_place_and_without_its_text() -> None:
    """The log names type and line of an unexpected error, but not its text, which may quote a message."""
    described = failed(KeyError("Hola, my card is 4111"))
    assert described.startswith("KeyError at test_errors.py:")
    assert "Hola" not in described


def test_the_text_of_our_own_errors_is_logged() -> None:
    """The sentence of a RouterError, which quotes no message, is part of the description."""
    assert failed(StoreRefused("the store is full")).endswith(": the store is full")
