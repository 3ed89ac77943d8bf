"""What a mount shows of its source: which name stands for what. Of archives nothing is read but how they begin."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence

from neuralvdb import platform
from neuralvdb.dataclass import dataclass
from neuralvdb.file_kinds import MANY_FRAMES
from neuralvdb.mount.messages import FrameName, Listed
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX

_NUMBER = re.compile(r"\d+(?=\D*$)", re.ASCII)


@dataclass(frozen=True)
class FrameFile:
    """A .vdb file that is decoded when it is opened."""

    frame: FrameName


@dataclass(frozen=True)
class Shot:
    """A folder of the frames of an archive of many."""

    path: str


@dataclass(frozen=True)
class Original:
    """A file, folder or link of the source, as it is."""

    path: str


class ShotFrames:
    """The frames of an archive of many, in order, and their positions by name and by number."""

    def __init__(self, frames: Sequence[Listed]) -> None:
        self.frames = frames
        self.by_name = {frame.name: position for position, frame in enumerate(frames)}
        self.by_number = {frame.number: position for position, frame in enumerate(frames)}


Node = FrameFile | Shot | Original
ListShot = Callable[[str], ShotFrames]


class Tree:
    """The names below a source: an archive or a folder. list_shot: gives the frames of an archive of many."""

    def __init__(self, source: str, list_shot: ListShot) -> None:
        self._list_shot = list_shot
        self._single = not os.path.isdir(source) and not is_shot(source)
        self._root: Node = Shot(source) if is_shot(source) else Original(source)

    def find(self, path: str) -> Node:
        """What a path such as /shot/smoke.0057.vdb stands for. Raises FileNotFoundError, and what list_shot raises."""
        node = self._root
        for name in path.split("/"):
            if name:
                node = self._child(node, name)
        return node

    def names(self, folder: Node) -> Iterator[str]:
        """The names in a folder. Raises OSError, and what list_shot raises."""
        if isinstance(folder, Shot):
            yield from self._list_shot(folder.path).by_name
        elif self._is_single(folder):
            yield self._single_name
        elif isinstance(folder, Original):
            originals = os.listdir(folder.path)
            shown = [_shown_name(folder.path, name) for name in originals]
            yield from dict.fromkeys(sorted(name for name in shown if name is not None))

    def is_folder(self, node: Node) -> bool:
        """Whether there are names in it."""
        return isinstance(node, Shot) or self._is_single(node)

    def next_to(self, frame: FrameName, step: int) -> FrameName | None:
        """The frame `step` frames behind another one, None where there is none."""
        if frame.number:
            shot = self._list_shot(frame.path)
            position = shot.by_number[frame.number] + step
            return FrameName(frame.path, shot.frames[position].number) if 0 <= position < len(shot.frames) else None
        folder, name = os.path.split(frame.path)
        match = _NUMBER.search(name.removesuffix(ARCHIVE_SUFFIX))
        if match is None or self._single or int(match[0]) + step < 0:
            return None
        number = str(int(match[0]) + step).zfill(len(match[0]))
        path = os.path.join(folder, name[: match.start()] + number + name[match.end() :])
        return FrameName(path) if os.path.isfile(path) and not is_shot(path) else None

    def _child(self, node: Node, name: str) -> Node:
        if isinstance(node, Shot):
            shot = self._list_shot(node.path)
            if name in shot.by_name:
                return FrameFile(FrameName(node.path, shot.frames[shot.by_name[name]].number))
        elif self._is_single(node):
            if name == self._single_name:
                return FrameFile(FrameName(self._root_path))
        elif isinstance(node, Original):
            return _in_folder(node.path, name)
        raise FileNotFoundError(name)

    def _is_single(self, node: Node) -> bool:
        return self._single and node is self._root

    @property
    def _root_path(self) -> str:
        assert isinstance(self._root, Original)
        return self._root.path

    @property
    def _single_name(self) -> str:
        return os.path.basename(self._root_path).removesuffix(ARCHIVE_SUFFIX) + VDB_SUFFIX


def is_shot(path: str) -> bool:
    """Whether a file begins like an archive of many frames."""
    state = platform.file_state(path)
    return state is not None and _begins_like_shot(path, state)


@functools.lru_cache(1 << 16)
def _begins_like_shot(path: str, _: tuple[int, int]) -> bool:
    try:
        with platform.open_ordinary(path) as file:
            return file.read(len(MANY_FRAMES)) == MANY_FRAMES
    except OSError:  # who reads all of it will say why
        return False


def _is_archive(path: str) -> bool:
    return path.endswith(ARCHIVE_SUFFIX) and os.path.isfile(path)


def _in_folder(folder: str, name: str) -> Node:
    """What a name in a folder of the source stands for: what is called so, but for archives, goes before those."""
    path = os.path.join(folder, name)
    if os.path.lexists(path) and not _is_archive(path):
        return Original(path)
    archive = path.removesuffix(VDB_SUFFIX) + ARCHIVE_SUFFIX
    if name.endswith(VDB_SUFFIX) and _is_archive(archive) and not is_shot(archive):
        return FrameFile(FrameName(archive))
    if _is_archive(path + ARCHIVE_SUFFIX) and is_shot(path + ARCHIVE_SUFFIX):
        return Shot(path + ARCHIVE_SUFFIX)
    raise FileNotFoundError(path)


def _shown_name(folder: str, name: str) -> str | None:
    """The name under which a file of a folder is shown; None where it is hidden behind one that is called so."""
    path = os.path.join(folder, name)
    if not _is_archive(path):
        return name
    stem = name.removesuffix(ARCHIVE_SUFFIX)
    shown = stem if is_shot(path) else stem + VDB_SUFFIX
    return shown if not os.path.lexists(os.path.join(folder, shown)) else None
