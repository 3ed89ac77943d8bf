"""The package's dataclass() does what the standard library's does."""

import dataclasses
import inspect
import pickle

import pytest

from neuralvdb.dataclass import dataclass
from neuralvdb.settings import Bound


def classes(decorator):
    """A class, and one that inherits from it, made by a decorator."""

    @decorator(frozen=True, kw_only=True)
    class Base:
        """A base."""

        first: int
        many: list[int] = dataclasses.field(default_factory=list)

        def __post_init__(self):
            assert self.first

    @decorator(frozen=True)
    class Kind(Base):
        """A kind."""

        where: str
        second: float = 0.5
        third: int = dataclasses.field(default=0, compare=False)

        def __hash__(self):
            return 7

    @decorator
    class Changing:
        """May change."""

        value: int = 0

    return Base, Kind, Changing


def parameters(kind):
    return [(p.name, p.kind, p.annotation) for p in inspect.signature(kind).parameters.values()]


def test_classes_are_as_those_of_the_standard():
    for kind, true in zip(classes(dataclass), classes(dataclasses.dataclass), strict=True):
        assert parameters(kind) == parameters(true)
        assert [f.name for f in dataclasses.fields(kind)] == [f.name for f in dataclasses.fields(true)]
        assert (kind.__hash__ is None) == (true.__hash__ is None)
        assert kind.__match_args__ == true.__match_args__
    (base, kind, changing), (_, true, _) = classes(dataclass), classes(dataclasses.dataclass)
    made = kind("p", first=1)
    assert repr(made) == repr(true("p", first=1))
    assert dataclasses.asdict(made) == dataclasses.asdict(true("p", first=1))
    assert (
        made == kind("p", first=1) == kind("p", 0.5, 9, first=1)
        and made != dataclasses.replace(made, second=1.0)
        and made != base(first=1)
    )
    assert hash(made) == 7 and made.many is not kind("p", first=1).many
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'where'"):
        made.where = "q"
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'first'"):
        kind("p")
    with pytest.raises(AssertionError):
        base(first=0)
    free = changing()
    free.value = 3
    assert free == changing(3)


def test_settings_are_compared_hashed_and_pickled_by_their_fields():
    bound = Bound(value=0.5, relative=True)
    assert len({bound, Bound(value=0.5, relative=True), Bound(value=0.25, relative=True)}) == 2
    assert pickle.loads(pickle.dumps(bound)) == bound
