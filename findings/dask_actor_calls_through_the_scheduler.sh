#!/usr/bin/env bash
# Guess: a client's call of a Dask actor goes straight to the worker that holds it. The documentation says of actors
#        that their operations do not inform the central scheduler, and the client is connected to the workers' network.
# Seen:  distributed 2026.8.0: with a client as it comes, every call and every answer passes through the scheduler, in
#        full (its handler "proxy"), and only a client made with direct_to_workers=True talks to the worker.
# Means: a scheduler that is thought of as bookkeeping sees all arguments of actors, and carries their bytes. Whoever
#        sends secrets, or megabytes, to an actor must ask for direct connections.
# Needs: python3. Exits 1 if this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check distributed==2026.8.0
cat > "$tmp/run.py" <<'PY'
from distributed import Client, LocalCluster


class Holder:
    def size(self, data):
        return len(data)


def watch(dask_scheduler):
    """Count what the scheduler hands on between a client and a worker."""
    dask_scheduler.carried = 0
    proxy = dask_scheduler.handlers["proxy"]

    async def counting(*args, **kwargs):
        dask_scheduler.carried += 1
        return await proxy(*args, **kwargs)

    dask_scheduler.handlers["proxy"] = counting


def carried(dask_scheduler):
    return dask_scheduler.carried


if __name__ == "__main__":
    found = {}
    for direct in (None, True):
        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            options = {} if direct is None else {"direct_to_workers": direct}
            with Client(cluster, **options) as client:
                client.run_on_scheduler(watch)
                actor = client.submit(Holder, actor=True).result()
                assert actor.size(b"x" * 1_000_000).result() == 1_000_000
                found[direct] = client.run_on_scheduler(carried)
    print("calls that the scheduler carried:", found)
    assert found[None] >= 1 and found[True] == 0, found
    print("as described: the client as it comes sends an actor's calls through the scheduler")
PY
cd "$tmp" && "$tmp/venv/bin/python" run.py
