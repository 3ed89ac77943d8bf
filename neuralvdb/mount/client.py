"""A mount's side of the process that decodes for it: threads ask and wait; what several ask for is done once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection

from neuralvdb.errors import NeuralVdbError, Stopped
from neuralvdb.mount.decoder import Answered, Asked, Value
from neuralvdb.mount.messages import Request


class Decoder:
    """Asks through `channel`. ended: is called when the process at its other end has ended without being asked to."""

    def __init__(self, channel: Connection, ended: Callable[[], None]) -> None:
        self._channel, self._ended = channel, ended
        self._lock = threading.Lock()
        self._last = 0
        self._pending: dict[Request, tuple[Asked, Future[Value]]] = {}
        self._stopped = False
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, request: Request) -> Value:
        """The answer to a request, for which it waits. Raises the error that it comes to, Stopped after stop()."""
        return self._send(request, ahead=False).result()

    def prepare(self, request: Request) -> None:
        """Asks for what may be needed soon, and waits for nothing."""
        self._send(request, ahead=True)

    def stop(self) -> None:
        """All who wait hear that it is over, and nothing more is asked."""
        with self._lock:
            self._stopped = True
            pending, self._pending = self._pending, {}
        for _, future in pending.values():
            future.set_exception(Stopped("the mount is being ended"))

    def close(self) -> None:
        """Ends the process at the other end."""
        self.stop()
        with contextlib.suppress(OSError):
            self._channel.send(None)

    def _send(self, request: Request, *, ahead: bool) -> Future[Value]:
        with self._lock:
            if self._stopped:
                raise Stopped("the mount is being ended")
            asked, future = self._pending.get(request, (None, Future[Value]()))
            if asked is None or (asked.ahead and not ahead):
                self._last += asked is None
                asked = Asked(self._last if asked is None else asked.number, request, ahead)
                self._pending[request] = asked, future
                with contextlib.suppress(OSError):  # it has ended; who listens will tell
                    self._channel.send(asked)
        return future

    def _listen(self) -> None:
        """Takes answers until there are none any more."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._take(self._channel.recv())
        if not self._stopped:
            self.stop()
            self._ended()

    def _take(self, answer: Answered) -> None:
        with self._lock:
            request = next((r for r, (asked, _) in self._pending.items() if asked.number == answer.number), None)
            if request is None:
                return
            _, future = self._pending.pop(request)
        if isinstance(answer.value, NeuralVdbError):
            future.set_exception(answer.value)
        else:
            future.set_result(answer.value)
