"""The processor time of `sagemaker-seed --help`, which a person feels at every typing error."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from measure import verdict

COMMAND = Path(sys.executable).with_name("sagemaker-seed")
ROUNDS = 9


def _cpu(*words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> int:
    """Prints the median, beside that of an empty Python program."""
    helps = statistics.median(_cpu(str(COMMAND), "--help") for _ in range(ROUNDS))
    empty = statistics.median(_cpu(sys.executable, "-c", "pass") for _ in range(ROUNDS))
    print(f"  --help {helps:.3f} s of CPU, an empty program {empty:.3f} s (medians of {ROUNDS})")
    return 0 if verdict("seconds of CPU", helps, 0.3, at_most=True) else 1


if __name__ == "__main__":
    sys.exit(main())
