#!/usr/bin/env bash
# Guess: a Dask actor made with a client that is not the process's default (set_as_default=False, as a library makes
#        one so that it does not take the caller's place) works like that client's futures: the future that gave it
#        knows its client.
# Seen:  distributed 2026.8.0: the future's result is an actor, and its first method call raises AttributeError: "type
#        object 'Counter' has no attribute '_io_loop'". Inside client.as_current() the same actor works.
# Means: the error names the user's class and an attribute of Dask's; nothing says that a client is missing. Call
#        actors inside as_current() wherever a client is not the default.
# Needs: python3. Exits 1 if this changes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check distributed==2026.8.0
cat > "$tmp/run.py" <<'PY'
from distributed import Client, LocalCluster


class Counter:
    def __init__(self):
        self.n = 0

    def increment(self):
        self.n += 1
        return self.n


if __name__ == "__main__":
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.submit(sum, [1, 2]).result() == 3  # futures know their client
        actor = client.submit(Counter, actor=True).result()
        try:
            actor.increment()
        except AttributeError as error:
            print("outside as_current():", error)
            assert "_io_loop" in str(error)
        else:
            raise SystemExit("it works now")
        with client.as_current():
            assert actor.increment().result() == 1
        print("as described: an actor finds its client only where that is the default, or current")
PY
cd "$tmp" && "$tmp/venv/bin/python" run.py
