"""What the two hooks of the template do; they only find this module and hand it the answers.

Standard library only until publishing starts: cookiecutter runs hooks in its own environment.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import answers as rules
from . import bundle
from .errors import BadInput, SeedError

OVERRIDE = "SAGEMAKER_SEED_PUBLISH_TO"  # where to publish this time, whatever the answer


def parent_words() -> list[str]:
    """The words of the command that runs the hook; none where the system does not tell."""
    path = Path(f"/proc/{os.getppid()}/cmdline")
    return path.read_text(encoding="utf-8", errors="replace").split("\0") if path.exists() else []


def refuse(context: Mapping[str, Any], words: Sequence[str]) -> int:
    """Before anything is written: prints every problem of the answers, and returns the hook's exit code."""
    problems = rules.unknown(rules.typed(words)) + rules.validate(context)
    for line in problems:
        print(f"ERROR: {line}", file=sys.stderr)
    return 1 if problems else 0


def finish(context: Mapping[str, Any], project: Path) -> int:
    """After rendering: prunes what the answers do not keep, bundles, and publishes where the answer says.

    It returns 0 whatever becomes of bundling and publishing: what fails prints one line with the command
    that tries again, and the rendered repository stays.
    """
    where = os.environ.get(OVERRIDE) or context["publish_to"]
    try:
        # Cookiecutter copies every file of the template folder, the caches of whoever ran tools there too.
        caches = [path for name in bundle.CACHES for path in project.rglob(name)]
        for folder in rules.overlaid(context):
            shutil.copytree(project / folder, project, dirs_exist_ok=True)
        for place, source in rules.made(context).items():
            shutil.copyfile(project / source, project / place)
        for path in [*map(project.joinpath, rules.pruned(context)), *caches]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        seed = rules.read_seed(project)
        packed = bundle.pack(project)
        name = f"dist/{bundle.file_name(seed.slug, packed)}"
        bundle.write(packed, project / name)
        print(f"bundled {len(packed.files)} files, {packed.size:,} bytes: {name}")
        if where not in rules.PLACES:
            raise BadInput(f"{OVERRIDE}: must be one of {', '.join(rules.PLACES)}. Got {where!r}")
        if where != "nowhere":
            from .cli import publish_to

            publish_to(where, project)
    except ImportError as error:
        print(f"not published: {error.name} is not installed beside cookiecutter")
        print(f"to publish: {retry(context, project, where)}")
    except (SeedError, OSError) as error:
        print(f"not published: {error}")
        print(f"to try again: {retry(context, project, where)}")
    return 0


def retry(context: Mapping[str, Any], project: Path, where: str) -> str:
    """The command that publishes the rendered repository, from any folder and any environment."""
    source = str(context.get("_template", ""))
    if not re.search(r"\.zip$", source):
        source = str(context.get("_repo_dir", ""))
    if "://" not in source:
        source = Path(os.environ.get("PWD", ""), source).resolve().as_uri()
    extra = "[rehearsal]" if where == "embedded" else ""
    install = shlex.join(["python3", "-m", "pip", "install", f"sagemaker-seed{extra} @ {source}"])
    return f"{install} && {shlex.join(['sagemaker-seed', 'publish', str(project), '--to', where])}"
