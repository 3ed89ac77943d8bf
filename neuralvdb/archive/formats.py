"""Every section that this version reads and writes: the registry behind the headings of SPEC.md."""

from __future__ import annotations

from neuralvdb.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class SectionFormat:
    """One codec of one type of section.

    kind: the type, four ASCII letters.
    codec: number of the codec within the type.
    versions: those that are read, lowest first; the last one is written.
    content: what the section holds, in a word for people.
    of_frame: it belongs to the frame, not to one of its grids.
    numbered: a grid has several of them, told apart by their part number.
    """

    kind: str
    codec: int
    versions: tuple[int, ...]
    content: str
    of_frame: bool = False
    numbered: bool = False


FORMATS = (
    SectionFormat(kind="FRAM", codec=0, versions=(1, 2, 3), content="table", of_frame=True),
    SectionFormat(kind="FRAM", codec=1, versions=(2,), content="table", of_frame=True),  # from another frame's
    SectionFormat(kind="LOSS", codec=0, versions=(1,), content="table", of_frame=True),
    SectionFormat(kind="REFS", codec=1, versions=(1,), content="table", of_frame=True),
    SectionFormat(kind="TOPO", codec=0, versions=(1,), content="topology"),  # masks
    SectionFormat(kind="TOPO", codec=1, versions=(2,), content="topology"),  # by networks
    SectionFormat(kind="TOPO", codec=2, versions=(2,), content="topology"),  # by networks, from another topology
    SectionFormat(kind="TOPO", codec=3, versions=(1,), content="topology"),  # a box
    SectionFormat(kind="TOPO", codec=4, versions=(1,), content="topology"),  # codec 1 or 2, from another frame's
    SectionFormat(kind="VALS", codec=0, versions=(1,), content="values"),  # lossless
    SectionFormat(kind="VALS", codec=1, versions=(4, 5), content="values"),  # by networks
    SectionFormat(kind="VALS", codec=2, versions=(1,), content="values"),  # by networks, from another frame's
    SectionFormat(kind="VALS", codec=3, versions=(1,), content="values"),  # by networks, of scattered leaves
    SectionFormat(kind="PRIO", codec=0, versions=(1,), content="priors", of_frame=True),
    SectionFormat(kind="TILE", codec=0, versions=(3,), content="values", numbered=True),
    SectionFormat(kind="BLOB", codec=0, versions=(1,), content="data"),
)
_BY_CODEC = {(form.kind, form.codec): form for form in FORMATS}
_BY_KIND = {form.kind: form for form in FORMATS}  # the codecs of a type differ in nothing else


def is_readable(kind: str, codec: int, version: int) -> bool:
    """Whether this version reads such a section."""
    form = _BY_CODEC.get((kind, codec))
    return form is not None and version in form.versions


def version_written(kind: str, codec: int) -> int:
    """The version that a codec of a type of section is written in. Raises KeyError where there is none."""
    return _BY_CODEC[kind, codec].versions[-1]


def form_of(kind: str) -> SectionFormat:
    """What holds of every codec of a type of section. Raises KeyError for a type that does not exist."""
    return _BY_KIND[kind]
