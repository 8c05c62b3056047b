"""What a process leaves behind when it is asked to end (SIGTERM, or SIGINT from a keyboard): nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


class Ending:
    """Until ``close``, a SIGTERM or SIGINT first calls ``clean``, then does what it would have done without us: it ends
    this process, or raises KeyboardInterrupt.

    Where the program has a handler of its own, or this is not the main thread, nothing is done: that handler closes
    what it opened. ``clean`` runs between any two steps of the main thread: it takes no lock and reads no pipe.
    """

    def __init__(self, clean: Callable[[], None]) -> None:
        self._clean = clean
        self._ours: dict[signal.Signals, signal.Handlers | Callable[..., object]] = {}
        if threading.current_thread() is threading.main_thread():
            for number, usual in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
                if signal.getsignal(number) is usual:
                    self._ours[number] = usual
                    signal.signal(number, self._end)

    def _end(self, number: int, _frame: object) -> None:
        try:
            self._clean()
        finally:
            if number == signal.SIGINT:  # whoever catches it closes, and then this
                raise KeyboardInterrupt
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def close(self) -> None:
        """Back to what was."""
        if threading.current_thread() is threading.main_thread():
            for number, usual in self._ours.items():
                signal.signal(number, usual)
            self._ours = {}
