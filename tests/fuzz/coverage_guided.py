"""Coverage-guided fuzzing of the same targets with atheris: ``pip install 'zkmargin[assurance]'``.

python tests/fuzz/coverage_guided.py TARGET SECONDS [CORPUS]
"""

import importlib
import sys
import tempfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def main(name: str, seconds: int, corpus: str | None) -> None:
    """Run libFuzzer on one target; it ends the process, with a code above 0 for a finding."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import atheris

    with atheris.instrument_imports(include=["zkmargin"]):
        targets: ModuleType = importlib.import_module("fuzz.targets")
    target = targets.TARGETS[name]
    folder = Path(corpus or tempfile.mkdtemp(prefix="zkmargin-fuzz-"))
    for i, seed in enumerate(target.seeds()):
        (folder / f"seed-{i}").write_bytes(seed[: target.longest])
    options = [f"-max_total_time={seconds}", f"-max_len={target.longest}", "-timeout=60", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], str(folder), *options, "-print_final_stats=1"], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
