"""Worker processes of this machine at the end of two pipes: framed bytes, one question at a time, within a time.

A worker that does not answer within ``timeout`` seconds is ended, and counts as lost: another one is made from the same
inputs. No more is read than the statement lets a worker say (``prover.venue.sizes``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from zkmargin.prover.venue.messages import LostError

#: For one answer: of a million accounts on one worker the longest round takes some minutes.
TIMEOUT_SECONDS = 1800.0
#: Without a statement at hand.
MAX_MESSAGE = 1 << 40
_LENGTH_BYTES = 8


class ProcessLink:
    """A worker process of this user on this machine.

    Args:
        timeout: seconds that an answer may take.
        most: bytes that an answer may have.

    Raises:
        LostError: it cannot be started.
    """

    def __init__(self, timeout: float = TIMEOUT_SECONDS, most: int = MAX_MESSAGE) -> None:
        self.timeout, self.most, self._late = timeout, most, False
        path = [str(Path(__file__).absolute().parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
        # One thread each: workers share the machine by being several.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}
        # -P: no module of the current folder is imported
        command = [sys.executable, "-P", "-c", "from zkmargin.prover.venue.workers import serve; serve()"]
        pipe = subprocess.PIPE
        try:
            with _no_interrupts():
                self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe)  # noqa: S603 - ours
        except OSError as error:  # no more processes, or no memory for one
            raise LostError(f"it cannot be started: {(error.strerror or 'error').lower()}") from None

    def ask(self, request: bytes) -> bytes:
        """Send a request, wait for the answer. Raises LostError, with a reason where there is more to say."""
        if self.process.stdin is None or self.process.stdout is None:
            raise LostError
        watch = threading.Timer(self.timeout, self._end)
        watch.daemon = True
        watch.start()
        try:
            write_message(self.process.stdin, request)
            answer = read_message(self.process.stdout, self.most)
        except (OSError, OverflowError, MemoryError, ValueError):  # gone, or what it announces fits nowhere
            answer = None
        finally:
            watch.cancel()
        if answer is not None:
            return answer
        raise LostError(f"it did not answer within {self.timeout:g} s" if self._late else "")

    def _end(self) -> None:
        self._late = True
        self.process.kill()

    def kill(self) -> None:
        """End the process, without waiting for it."""
        self.process.kill()

    def close(self) -> None:
        """End the process; from any thread, and more than once."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError, ValueError):  # what was not written yet goes nowhere
                    pipe.close()
        self.process.wait()


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """A process that is started in here never takes a SIGINT: one from a keyboard goes to all of a group, and it is
    the coordinator's to end its workers. What is blocked stays so in a child, from its first instruction on.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_message(sink: IO[bytes], data: bytes) -> None:
    """Its length in 8 bytes, then the message."""
    sink.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
    sink.write(data)
    sink.flush()


def read_message(source: IO[bytes], most: int = MAX_MESSAGE) -> bytes | None:
    """The next message, or None at the end. Raises LostError for one that announces more than it may have."""
    size = source.read(_LENGTH_BYTES)
    if len(size) < _LENGTH_BYTES:
        return None
    length = int.from_bytes(size, "big")
    if length > most:
        raise LostError(f"it announced {length} bytes where an answer has at most {most}")
    data = source.read(length)
    return data if len(data) == length else None
