"""Refuses bad answers before anything is written. The rules are in product/sagemaker_seed/answers.py."""

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Return 1, with a line for each problem, when an answer cannot be right."""
    context = json.loads(r"""<< cookiecutter | tojson >>""")
    # Cookiecutter gives the template's path as it was typed, and runs hooks from inside that folder.
    roots = (Path(os.environ.get("PWD", ""), context["_repo_dir"]), Path(f"/proc/{os.getppid()}/cwd"))
    sys.path[:0] = [str(root / "product") for root in roots if (root / "product/sagemaker_seed").is_dir()]
    from sagemaker_seed import hooks

    return hooks.refuse(context, hooks.parent_words())


if __name__ == "__main__":
    sys.exit(main())
