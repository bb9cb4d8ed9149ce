"""The `value` decorator."""

from dataclasses import field, replace

from router.value import value


@value
class _Sample:
    name: str
    secret: str = field(default="", repr=False)
    tags: tuple[str, ...] = ()


def test_a_value_behaves_like_a_frozen_dataclass() -> None:
    """A value is compared and hashed by its fields, can be copied with `replace`, and has no `__dict__`."""
    one = _Sample("a", "b")
    assert one == _Sample(name="a", secret="b")
    assert {one: 1}[_Sample("a", "b")] == 1
    assert replace(one, tags=("x",)) == _Sample("a", "b", ("x",)) != one
    assert repr(one) == "_Sample(name='a', tags=())"
    assert not hasattr(one, "__dict__")
