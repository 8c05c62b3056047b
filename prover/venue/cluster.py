"""Shares on the workers of a Dask cluster: the same code as in processes of this machine, over TLS.

A worker of the cluster holds one ``prover.venue.workers.Worker`` as a Dask actor, and a ``DaskLink`` carries its
messages: bytes of ours, from this process straight to that worker. Books and seeds are in them, so that

* links must be encrypted and authenticated (TLS with a CA of the venue's own): another cluster is refused;
* the client talks to workers directly. By default Dask sends an actor's calls through the scheduler, which would then
  see every message;
* nothing secret is an argument or a result of a Dask *task*: tasks are kept by the scheduler, and spilled by workers;
* errors are said in our words on both ends, and Dask logs no message.

Whoever runs the scheduler or a worker can run any code there, as Dask goes: the cluster is trusted as the venue is.
docs/decisions/0014-dask-for-clusters.md says why it is Dask.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from zkmargin.formats import InputError
from zkmargin.prover.venue.messages import LostError
from zkmargin.prover.venue.pipes import TIMEOUT_SECONDS
from zkmargin.prover.venue.workers import Worker

if TYPE_CHECKING:
    from distributed import Client

#: A worker that is gone is noticed within so many seconds of a question to it.
POLL_SECONDS = 2.0
#: How long to wait for a first worker, and for another one where all are gone.
WAIT_SECONDS = 60.0


class VenueActor:
    """What a worker of the cluster runs: a share behind one method, from bytes to bytes."""

    def __init__(self) -> None:
        self._worker = Worker()

    def answer(self, request: bytes) -> bytes | None:
        """The answer to a request; None where the worker cannot go on, whose reason stays on the worker."""
        try:
            return self._worker.answer(request)
        except Exception:  # noqa: BLE001 - Dask would send, and log, an error with what it was about
            return None


class DaskLink:
    """The way to one worker of a cluster."""

    def __init__(self, client: Client, address: str, timeout: float = TIMEOUT_SECONDS) -> None:
        self._client, self.address, self.timeout = client, address, timeout
        try:
            self._future = client.submit(
                VenueActor, actor=True, workers=[address], allow_other_workers=False, pure=False, retries=0
            )
            self._actor: Any = self._while_there(self._future)  # a worker's first one loads and compiles: no haste
        except (OSError, RuntimeError, ValueError, TimeoutError):
            raise LostError from None

    def ask(self, request: bytes) -> bytes:
        """The worker's answer. Raises LostError when it is gone."""
        try:
            with self._client.as_current():  # an actor finds its client so, where none is everybody's default
                asked = self._actor.answer(request)
            answer: bytes | None = self._while_there(asked)
        except (OSError, RuntimeError, ValueError, KeyError):
            raise LostError from None
        if answer is None:
            raise LostError
        return answer

    def _while_there(self, asked: Any) -> Any:
        """What a future gives, as long as its worker is in the cluster and answers in time. Raises LostError."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                return asked.result(timeout=POLL_SECONDS)
            except TimeoutError:
                if self.address not in addresses(self._client):
                    raise LostError from None
                if time.monotonic() > until:
                    raise LostError(f"it did not answer within {self.timeout:g} s") from None

    def close(self) -> None:
        """Let go of the actor."""
        self._future.release()


class Cluster:
    """A Dask cluster by the address of its scheduler; a context manager.

    Args:
        address: ``tls://HOST:PORT``.
        ca, certificate, key: PEM files: of the authority that signed everybody's certificate, and this client's own.
        timeout: seconds that an answer of a worker may take; then it counts as lost.
        security: instead of files, a ``distributed.Security`` (tests, or certificates that are nowhere on disk).

    Raises:
        InputError: Dask is not installed, nobody answers there, or its links are not encrypted.
    """

    def __init__(
        self,
        address: str,
        ca: str = "",
        certificate: str = "",
        key: str = "",
        *,
        timeout: float = TIMEOUT_SECONDS,
        security: Any = None,
    ) -> None:
        self.timeout = timeout
        if not address.startswith("tls://"):
            raise InputError("not tls://HOST:PORT: books go over these links", field="cluster")
        try:
            from distributed import Client, Security  # noqa: PLC0415 - an extra
        except ImportError:
            raise InputError("clusters need the extra: pip install 'zkmargin[cluster]'", field="cluster") from None
        for name in ("distributed", "distributed.core", "distributed.client", "distributed.comm"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # that one died is said in our words
        try:
            security = security or Security(
                tls_ca_file=ca, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
            )
            self.client = Client(address, security=security, direct_to_workers=True, set_as_default=False, timeout=20)
        except (OSError, ValueError, TypeError, TimeoutError) as error:
            reason = (str(error).splitlines() or ["error"])[0][:200]
            raise InputError(f"cannot be used: {reason}", field="cluster", file=address) from None
        self._next, self._lock = itertools.count(), threading.Lock()
        self.workers = self._wait(0)

    def _wait(self, at_least: int) -> list[str]:
        begin = time.monotonic()
        while len(found := addresses(self.client)) <= at_least:
            if time.monotonic() - begin > WAIT_SECONDS:
                raise InputError("has no workers", field="cluster")
            time.sleep(0.2)
        return found

    def connect(self) -> DaskLink:
        """A link to the next worker in turn. Raises LostError where it is gone again."""
        with self._lock:
            found = self._wait(0)
            return DaskLink(self.client, found[next(self._next) % len(found)], self.timeout)

    def close(self) -> None:
        """Leave the cluster; it goes on."""
        self.client.close(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def addresses(client: Client) -> list[str]:
    """The addresses of a cluster's workers, in order."""
    workers: Sequence[str] = client.scheduler_info(n_workers=-1)["workers"]
    return sorted(workers)
