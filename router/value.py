"""Values: dataclasses with slots whose objects are not changed.

The standard library writes and compiles six functions for a frozen dataclass, in half a millisecond, and each start of
a worker or a command imports some 200 of them. `frozen` is the same dataclass, but its functions are made when they
are first called. Most classes that a process imports it never makes an object of.

`value` is for those that are made for every message. A frozen dataclass sets each attribute through a function: one of
18 fields takes 2.7 µs, and 0.3 µs if it is not frozen. A message makes some twenty of them. So these are frozen for the
type checker only, which the checks before each commit run; everything else about them is as in a frozen dataclass.
"""

from collections.abc import Callable
from dataclasses import Field, FrozenInstanceError, dataclass, field, fields, make_dataclass
from typing import Any, Final, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")

_MADE_WHEN_CALLED: Final = ("__init__", "__repr__", "__eq__", "__hash__")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots whose objects must not be changed."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass with slots whose objects cannot be changed, as `@dataclass(frozen=True, slots=True)`."""
    made: Any = dataclass(slots=True, init=False, repr=False, eq=False)(cls)
    for name in _MADE_WHEN_CALLED:
        if cls.__dict__.get(name) is None:  # a class that says what is equal has no hash by itself
            setattr(made, name, _made_when_called(made, name))
    made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
    made.__getstate__, made.__setstate__ = _state, _set_state
    kept: type[T] = made
    return kept


def _made_when_called(cls: Any, name: str) -> Callable[..., Any]:
    """Return a method that puts the standard library's in its own place, and calls it."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = _standard_library(cls, name)
        setattr(cls, name, made)
        return made(self, *args, **kwargs)

    return method


def _standard_library(cls: Any, name: str) -> Callable[..., Any]:
    """Return the method that a frozen dataclass with the fields of `cls` has."""
    every: dict[str, Field[Any]] = cls.__dataclass_fields__
    other = make_dataclass(
        cls.__qualname__,  # so TypeErrors name the class
        [(each.name, each.type, each) for each in every.values()],
        namespace={"__post_init__": None} if hasattr(cls, "__post_init__") else None,  # called on the object
        init=name == "__init__",
        repr=name == "__repr__",
        eq=name in {"__eq__", "__hash__"},
        frozen=True,
    )
    method: Callable[..., Any] = getattr(other, name)
    return method


def _refuse_to_set(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, kept in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, kept)
