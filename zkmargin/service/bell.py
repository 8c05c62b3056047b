"""Wakes whoever waits for something new, from any thread."""

from __future__ import annotations

import asyncio


class Bell:
    """Made inside a running event loop; ``ring`` may be called from any thread."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self.closed = False

    def ring(self) -> None:
        """Wake everybody who waits now."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def close(self) -> None:
        """Wake everybody, for good."""
        self.closed = True
        self._ring()

    def listen(self) -> asyncio.Event:
        """What ``wait`` waits for: take it before looking, so that nothing is missed in between."""
        return self._event

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Whether it rang within so many seconds."""
        if self.closed:
            return True
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        return True
