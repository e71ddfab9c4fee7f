"""Rendering with the hooks of this template, against cookiecutter alone on the same tree."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import in_turns, verdict

ROOT = Path(__file__).parents[2]
ROUNDS = 9


def main() -> int:
    """Prints both times and their ratio."""
    with tempfile.TemporaryDirectory() as folder:

        def render(accept: str, turn: int) -> None:
            words = [sys.executable, "-m", "cookiecutter", str(ROOT), "--no-input", "-o", f"{folder}/{accept}{turn}"]
            env = {**os.environ, "HOME": folder}
            subprocess.run(
                [*words, f"--accept-hooks={accept}", "publish_to=nowhere"], env=env, check=True, capture_output=True
            )

        ours, plain = in_turns(lambda turn: render("yes", turn), lambda turn: render("no", turn), ROUNDS)
    print(f"  with hooks {ours:.3f} s, cookiecutter alone {plain:.3f} s (medians of {ROUNDS})")
    return 0 if verdict("times cookiecutter alone", ours / plain, 3, at_most=True) else 1


if __name__ == "__main__":
    sys.exit(main())
