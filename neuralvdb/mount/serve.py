"""Mounts a source, and serves it until a signal or `nvdb unmount` ends that."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import ModuleType

from neuralvdb import platform
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, Unsupported
from neuralvdb.mount.cache import FrameCache, workplace
from neuralvdb.mount.client import Decoder
from neuralvdb.mount.decoder import DecodingProcess, StartProcess
from neuralvdb.mount.filesystem import FileSystem
from neuralvdb.mount.frames import Frames
from neuralvdb.mount.log import Log
from neuralvdb.mount.messages import FrameName
from neuralvdb.mount.points import TYPE
from neuralvdb.mount.tree import is_shot
from neuralvdb.settings import MountSettings

_THREADS = 64  # of libfuse: programs that wait for a frame at once
_POKE = ".nvdb-leave"  # a name that is never there


@dataclass(frozen=True, kw_only=True)
class Mount:
    """What to mount. source, target and settings.cache are absolute paths; log: a file, None for stderr.

    other_users: whether they may read it too.
    """

    source: str
    target: str
    settings: MountSettings
    log: str | None
    other_users: bool = False


def load_fuse() -> ModuleType:
    """The module mfusepy. Raises Unsupported, with what to install, where it or what it needs is not there."""
    os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    try:
        import mfusepy
    except ImportError as error:
        raise Unsupported(
            "mounting needs mfusepy: pip install mfusepy, or the extra `mount`; without it use nvdb cache"
        ) from error
    except (OSError, AttributeError) as error:
        raise Unsupported("mounting needs libfuse 3: apt-get install fuse3; without it use nvdb cache") from error
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise Unsupported("mounting needs /dev/fuse, which is not there or closed to you; without it use nvdb cache")
    module: ModuleType = mfusepy
    return module


def serve(mount: Mount, start: StartProcess, ready: Callable[[], None]) -> None:
    """Serves a mount until it is ended. This process must have one thread and hold interrupts back.

    start: begins the processes that read archives. ready: is called when the source is mounted. Raises Unsupported,
    OutputError, what reading an archive raises that is the source, NeuralVdbError where it ends for another reason
    than that it should.
    """
    fuse = load_fuse()
    cache = FrameCache(mount.settings.cache, mount.settings.cache_size)
    log = Log(mount.log)
    with workplace(cache.folder) as work, _decoding(mount, start, cache, work) as channel:
        server = _Server(mount, fuse, log)
        decoder = Decoder(channel, server.decoder_ended)
        try:
            frames = Frames(cache, decoder)
            if is_shot(mount.source):
                frames.shot(mount.source)
            elif not os.path.isdir(mount.source):
                frames.identity(FrameName(mount.source))
            server.run(FileSystem(mount.source, frames, mount.settings, log), decoder, ready)
        finally:
            decoder.close()


class _Server:
    """Runs libfuse's loop and ends it."""

    def __init__(self, mount: Mount, fuse: ModuleType, log: Log) -> None:
        self._mount, self._fuse, self._log = mount, fuse, log
        self._system: FileSystem | None = None
        self._decoder: Decoder | None = None
        self._failure: NeuralVdbError | None = None

    def run(self, system: FileSystem, decoder: Decoder, ready: Callable[[], None]) -> None:
        """Serves until it is ended. Raises Unsupported, NeuralVdbError."""
        self._system, self._decoder = system, decoder
        system.ready = ready
        threading.Thread(target=self._wait_interrupt, daemon=True).start()
        options: dict[str, object] = {"allow_other": self._mount.other_users}
        if (self._fuse.fuse_version_major, self._fuse.fuse_version_minor) >= (3, 12):
            options["max_threads"] = _THREADS
        try:
            self._fuse.FUSE(
                system,
                self._mount.target,
                raw_fi=True,
                foreground=True,
                ro=True,
                default_permissions=True,
                attr_timeout=0,  # sizes change when a frame is decoded, or an archive replaced
                fsname=self._mount.source.replace("\\", "\\\\").replace(",", "\\,"),
                subtype=TYPE,
                **options,
            )
        except RuntimeError as error:
            raise Unsupported(
                f"{self._mount.target}: cannot be mounted; may this user? With --allow-other /etc/fuse.conf needs "
                "user_allow_other"
            ) from error
        if self._failure is not None:
            raise self._failure

    def decoder_ended(self) -> None:
        """Hears that nothing can be decoded any more; ends the mount, so that who started it can start it again."""
        self._failure = NeuralVdbError(f"{self._mount.target}: the process that decodes has ended; mount it again")
        self._log.write(str(self._failure))
        self._leave()

    def _wait_interrupt(self) -> None:
        platform.wait_interrupt()
        self._leave()

    def _leave(self) -> None:
        """Ends the loop: all who wait hear so, then an operation, asked for here, tells libfuse."""
        if self._system is not None and self._decoder is not None:
            self._system.leave = self._fuse.fuse_exit
            self._decoder.stop()
            with contextlib.suppress(OSError):
                os.stat(os.path.join(self._mount.target, _POKE))


@contextlib.contextmanager
def _decoding(mount: Mount, start: StartProcess, cache: FrameCache, work: str) -> Iterator[Connection]:
    """A channel to a DecodingProcess, which ends when the block does. work: the folder for its files."""
    here, end = Pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = platform.fork_child()
    if child == 0:
        status = 1
        try:
            here.close()
            _preload()
            DecodingProcess(end, start, cache, mount.settings, work).run()
            status = 0
        finally:
            os._exit(status)
    end.close()
    try:
        yield here
    finally:
        here.close()
        platform.wait_child(child)


def _preload() -> None:
    """Loads what workers need, who leave that alone, so that its memory stays shared."""
    from neuralvdb.api.preload import preload_decoder

    preload_decoder()
    gc.freeze()
