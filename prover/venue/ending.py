"""What a process leaves behind when it is asked to end (SIGTERM): nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


class Ending:
    """Until ``close``, a SIGTERM first calls ``clean``, then ends this process as it would have without us.

    Where the program has a handler of its own, or this is not the main thread, nothing is done: that handler closes
    what it opened. ``clean`` runs between any two steps of the main thread: it takes no lock and reads no pipe.
    """

    def __init__(self, clean: Callable[[], None]) -> None:
        self._clean = clean
        main = threading.current_thread() is threading.main_thread()
        self._ours = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._ours:
            signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, _frame: object) -> None:
        try:
            self._clean()
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def close(self) -> None:
        """Back to what was."""
        if self._ours and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._ours = False
