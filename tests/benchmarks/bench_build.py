"""How the calls of build.py depend on the size of the model registry, a rendered repository against a real server."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import verdict
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import REGION, bake, build_environment, run_build
from seed_support.registry import Registry

FEW, MANY = 10, 10_000
ROUNDS = 5


def build(registry: Registry, repository: Path, output: Path) -> tuple[list[str], float]:
    """Builds once; returns the calls and the seconds of the whole process."""
    registry.forget_calls()
    began = time.perf_counter()
    code, result, error = run_build(
        repository, "--output", str(output), env=build_environment(registry.account, **registry.environment)
    )
    seconds = time.perf_counter() - began
    if code != 0 or result["chosen"] != "newest":
        raise SystemExit(f"the build failed: {error}")
    return registry.calls, seconds


def main() -> int:
    """Prints calls and times for few and for many packages, and the ratio of the calls."""
    counts = {}
    with tempfile.TemporaryDirectory() as scratch, EmbeddedAws(region=REGION) as aws:
        registry = Registry(aws)
        repository, output = bake(Path(scratch)), Path(scratch, "out")
        run_build(repository, env=build_environment(registry.account, **registry.environment))
        for packages, more in ((FEW, FEW), (MANY, MANY - FEW)):
            registry.register_many(more)
            taken = [build(registry, repository, output) for _ in range(ROUNDS)]
            calls = taken[0][0]
            counts[packages] = len(calls)
            seconds = statistics.median(seconds for _, seconds in taken)
            print(f"  {packages:6} packages: {len(calls)} calls ({', '.join(calls)}), {seconds:.2f} s in all")
    return 0 if verdict(f"calls with {MANY} to calls with {FEW}", counts[MANY] / counts[FEW], 1, at_most=True) else 1


if __name__ == "__main__":
    sys.exit(main())
