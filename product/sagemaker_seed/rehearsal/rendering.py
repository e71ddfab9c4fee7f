"""Renders the template with the cookiecutter command, its hooks included, as a platform engineer would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .. import answers as rules
from .. import bundle as bundles
from ..errors import BadInput, SeedError
from ..hooks import OVERRIDE
from ..resources import cookiecutter_template


def given(words: Sequence[str]) -> dict[str, str]:
    """The answers of ``key=value`` words.

    Raises:
        BadInput: a word is no answer, a key is no question, or a value breaks its rule; all are named.
    """
    bad = [f"--answer {word!r}: must be KEY=VALUE" for word in words if "=" not in word]
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    bad += rules.unknown(pairs)
    bad += [line for name, value in pairs.items() for line in rules.problems_of(name, value)]
    if bad:
        raise BadInput(*bad)
    return pairs


def render(words: Sequence[str], output: Path) -> Path:
    """The folder of a freshly rendered seed repository in ``output``.

    An earlier rendering of the same name gives way, unless somebody has edited it since.

    Args:
        words: ``key=value`` answers; the other answers are the template's defaults.

    Raises:
        BadInput: an answer breaks a rule, or an edited rendering is in the way.
        SeedError: the output cannot be written, or rendering failed.
    """
    pairs = given(words)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".rendering-", dir=output) as scratch:
            rendered = _cookiecutter(pairs, Path(scratch))
            place = output / rendered.name
            _make_room(place)
            rendered.replace(place)
    except OSError as error:
        raise SeedError(f"{error.filename or output}: cannot be written: {error.strerror}; choose --output") from None
    return place


def _cookiecutter(pairs: dict[str, str], scratch: Path) -> Path:
    # A configuration of its own, so that the person's defaults and replays play no part.
    config = scratch / "config.yaml"
    config.write_text(json.dumps({"replay_dir": f"{scratch}/replay", "cookiecutters_dir": f"{scratch}/templates"}))
    target = scratch / "rendered"
    target.mkdir()
    command = [sys.executable, "-m", "cookiecutter", str(cookiecutter_template()), "--no-input"]
    command += ["--config-file", str(config), "--output-dir", str(target)]
    ran = subprocess.run(
        [*command, *(f"{key}={value}" for key, value in pairs.items())],
        # The rehearsal publishes, and shows it; the hook only bundles.
        env={**os.environ, OVERRIDE: "nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        lines = ran.stderr.splitlines() or [f"cookiecutter ended with {ran.returncode}"]
        problems = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        raise BadInput(*problems) if problems else SeedError(f"rendering failed: {lines[-1]}")
    return next(target.iterdir())


def _make_room(place: Path) -> None:
    """Removes an earlier rendering; its bundle tells whether anybody has edited it since."""
    if not place.exists():
        return
    try:
        untouched = (place / "dist" / bundles.file_name(place.name, bundles.pack(place))).exists()
    except BadInput:
        untouched = False
    if not untouched or (place / ".git").exists():
        raise BadInput(
            f"{place}: was edited since it was rendered; rehearse it as it is with `sagemaker-seed rehearse {place}`, "
            f"choose another --output, or remove it"
        )
    shutil.rmtree(place)
