"""The seed code: a rendered folder or the zip of one, and whether a repository can be seeded from it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import bundle as bundles
from ..answers import Seed, read_seed
from ..bundle import Bundle
from ..errors import BadInput
from .findings import Report

_FIX = "do what the reason says; sagemaker-seed bundle then packs the rest"


@contextmanager
def opened(path: Path) -> Iterator[tuple[Seed, Bundle | None]]:
    """The seed repository at ``path``, and its bundle if that is what ``path`` is; a zip is unpacked meanwhile.

    Raises:
        BadInput: it is neither the folder nor the zip of a seed repository.
    """
    if path.is_dir() or not path.exists():
        yield read_seed(path), None
        return
    packed = bundles.read(path)
    if "seed.json" not in packed.files:
        tops = {name.partition("/")[0] for name in packed.files}
        within = f"everything lies in the folder {tops.pop()}/" if len(tops) == 1 else "it has no seed.json"
        raise BadInput(f"{path}: is no bundle of a seed repository: {within}; make it with sagemaker-seed bundle")
    with tempfile.TemporaryDirectory(prefix="sagemaker-seed-") as folder:
        bundles.unpack(packed, Path(folder))
        yield read_seed(Path(folder)), packed


def packed(seed: Seed, given: Bundle | None, report: Report) -> Bundle | None:
    """The bundle to publish: the one that is given, else the folder's; what CodeCommit would refuse is reported."""
    problems: tuple[str, ...] = ()
    found = given
    if given is not None:
        problems = tuple(bundles.problems_of(given))
    else:
        try:
            found = bundles.pack(seed.folder)
        except BadInput as error:
            problems = error.problems
    for problem in problems:
        where = str(seed.folder) if given is None else "the bundle"
        report.add("the seed code cannot be packed", where, problem, "publish", _FIX)
    return found
