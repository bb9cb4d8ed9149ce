"""Values: those that are made for every message, and all others."""

import copy
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace
from typing import Any

import pytest

from router.value import frozen, value


@value
class _Sample:
    name: str
    secret: str = field(default="", repr=False)
    tags: tuple[str, ...] = ()


@frozen
class _Cold:
    name: str
    secret: str = field(default="", repr=False)
    tags: tuple[str, ...] = ()


@frozen
class _Checked:
    length: int
    unit: str = field(default="m", compare=False)
    marks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.length < 0:
            raise ValueError(self.length)

    def __str__(self) -> str:
        return f"{self.length} {self.unit}"


@pytest.mark.parametrize("cls", [_Sample, _Cold])
def test_a_value_is_as_a_frozen_dataclass(cls: Any) -> None:
    """It is compared and hashed by what it holds, copied with `replace`, and has no other attributes."""
    one = cls("a", "b")
    assert one == cls(name="a", secret="b")
    assert {one: 1}[cls("a", "b")] == 1
    assert replace(one, tags=("x",)) == cls("a", "b", ("x",)) != one
    assert repr(one) == f"{cls.__name__}(name='a', tags=())"
    assert not hasattr(one, "__dict__")


def test_a_frozen_class_refuses_changes() -> None:
    """No attribute can be set or deleted, and the error names it."""
    one: Any = _Cold("a")
    for name in ("name", "other"):
        with pytest.raises(FrozenInstanceError, match=name):
            setattr(one, name, "b")
        with pytest.raises(FrozenInstanceError, match=name):
            delattr(one, name)
    assert one == _Cold("a")


def test_the_first_object_of_a_frozen_class_is_made_as_all_others() -> None:
    """Wrong arguments are refused with the class's name, `__post_init__` is called, and a list is each object's own."""
    wrong: Any = _Checked
    for _ in range(2):
        with pytest.raises(TypeError, match=r"_Checked\.__init__\(\) missing 1 required positional argument: 'length'"):
            wrong()
        with pytest.raises(ValueError, match="-1"):
            _Checked(-1)
    one, other = _Checked(1), _Checked(1, "km")
    one.marks.append("x")
    assert (asdict(one), asdict(other)) == (
        {"length": 1, "unit": "m", "marks": ["x"]},
        {"length": 1, "unit": "km", "marks": []},
    )
    assert str(other) == "1 km"


def test_a_frozen_value_can_be_copied() -> None:
    """Its state is set though its attributes cannot be: pickle does it in the same way."""
    assert copy.copy(_Cold("a", "b", ("x",))) == _Cold("a", "b", ("x",))


def test_a_frozen_class_keeps_the_methods_that_it_defines() -> None:
    """One with `__eq__` alone is hashed by its fields, as a dataclass is."""

    def alike(_one: object, other: object) -> bool:
        return isinstance(other, int)

    kept: Any = frozen(type("Kept", (), {"__annotations__": {"size": int}, "__eq__": alike, "__repr__": lambda _: "!"}))
    own: Any = dataclass(frozen=True)(type("Own", (), {"__annotations__": {"size": int}, "__eq__": alike}))
    assert kept(1) == 2
    assert repr(kept(1)) == "!"
    assert hash(kept(1)) == hash(own(1)) == hash((1,))
