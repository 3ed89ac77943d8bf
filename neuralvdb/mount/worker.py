"""Work on one archive, in a process of its own that lives on: frames are decoded in the order in which they are asked
for, so that what one of them needs of the one before need not be decoded again."""

from __future__ import annotations

import errno
import functools
import os
import pickle
import socket
from dataclasses import replace

import xxhash

import neuralvdb
from neuralvdb import platform
from neuralvdb.api.frames import frames_of
from neuralvdb.api.memory import memory_of
from neuralvdb.api.source import open_frames
from neuralvdb.api.write_vdb import decompress_frame
from neuralvdb.codec.frame import FrameReader, OpenFrames
from neuralvdb.errors import InputError, NeuralVdbError, OutOfMemory, OutputError
from neuralvdb.frame_number import FrameNumber, number_of
from neuralvdb.mount.cache import too_large
from neuralvdb.mount.messages import (
    MOST_BYTES,
    Decode,
    FrameName,
    Identify,
    Identity,
    Listed,
    Request,
    done,
    failed,
    pack_identity,
    pack_list,
)
from neuralvdb.settings import DecompressSettings, MountSettings
from neuralvdb.vdb._bridge import OPENVDB_VERSION

FRAME_FILE, LIST_FILE = "frame.vdb", "list"
"""What a worker writes into its folder."""
MEMORY_FACTOR = 4
"""Bytes that decoding may take for each of the decoded grids."""


class Worker:
    """Work on the archive at `path`. channel: through which requests come and answers go. folder: for files."""

    def __init__(self, path: str, folder: str, channel: socket.socket, settings: MountSettings) -> None:
        self.path, self.folder, self.channel, self.settings = path, folder, channel, settings
        self._decoding = DecompressSettings(
            threads=settings.threads,
            priors=settings.priors,
            grids=settings.grids,
            lod=settings.lod,
            device=settings.device,
            force=True,
        )

    def run(self) -> None:
        """Answers requests until nobody asks any more."""
        platform.limit_file_size(self.settings.cache_size)
        memory = platform.memory_limit()
        while request := self.channel.recv(MOST_BYTES):
            try:
                answer = self._answer(pickle.loads(request), memory)
            except NeuralVdbError as error:
                answer = failed(error)
            except MemoryError:
                answer = failed(OutOfMemory(f"{self.path}: the work on it needs more memory than there is"))
            self.channel.send(answer)
            platform.return_memory()

    def _answer(self, request: Request, memory: int) -> bytes:
        match request:
            case Identify(frame):
                return done(pack_identity(identity_of(frame, self.settings)))
            case Decode(frame, _, identity):
                self._decode(frame, memory, identity.memory)
                if identity_of(frame, self.settings) != identity:
                    raise InputError(f"{self.path}: was changed while it was read; open it again")
            case _:
                listed = [Listed(frame.number, frame.name) for frame in frames_of(self.path)]
                self._write(LIST_FILE, pack_list(listed))
        return done()

    @functools.cached_property
    def _frames(self) -> OpenFrames:
        """Those of the archive, which stays open: where the file is another one, another worker takes the place of this
        one. Raises what open_frames() raises."""
        return open_frames(self.path, self._decoding)

    def _decode(self, frame: FrameName, memory: int, grids: int) -> None:
        """Writes the .vdb file of a frame. memory: bytes that the process may have beside what its `grids` take."""
        asked = self.settings
        # What a coarser tile takes depends on those beside it.
        needed = platform.physical_memory() if asked.lod else MEMORY_FACTOR * grids
        platform.limit_memory(memory + needed)
        try:
            target = os.path.join(self.folder, FRAME_FILE)
            decompress_frame(self._frames, target, replace(self._decoding, frame=_number(frame)))
        except OutputError as error:
            if os.strerror(errno.EFBIG) in str(error):
                raise too_large(asked.cache_size) from error
            raise

    def _write(self, name: str, data: bytes) -> None:
        try:
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(data)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written: {error.strerror}") from error


def identity_of(frame: FrameName, settings: MountSettings) -> Identity:
    """The key of what a frame decodes to with these settings, from the checksums of its sections, none of which is
    read but the table: all sections on which the frame depends. Raises what FrameReader raises."""
    with FrameReader(frame.path, _number(frame)) as reader:
        needed = [reader.archive.sections_of(position) for position in reader.index.needs]
        sections = [[(s.kind, s.codec, s.version, s.grid, s.part, s.size, s.checksum) for s in of] for of in needed]
        size = reader.table.source_size
        memory = memory_of(reader, settings.grids)
    what = (neuralvdb.__version__, OPENVDB_VERSION, sections, sorted(settings.grids), settings.lod)
    return Identity(xxhash.xxh3_128_hexdigest(repr(what).encode()), size, memory)


def _number(frame: FrameName) -> FrameNumber | None:
    return number_of(frame.number) if frame.number else None
