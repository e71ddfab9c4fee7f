"""Prunes, bundles and publishes the rendered repository. The work is in product/sagemaker_seed/hooks.py."""

import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Return 0 also when publishing failed: the repository is there, and the message says how to try again."""
    context = json.loads(r"""<< cookiecutter | tojson >>""")
    # Cookiecutter gives the template's path as it was typed, and runs hooks from inside that folder.
    roots = (Path(os.environ.get("PWD", ""), context["_repo_dir"]), Path(f"/proc/{os.getppid()}/cwd"))
    sys.path[:0] = [str(root / "product") for root in roots if (root / "product/sagemaker_seed").is_dir()]
    from sagemaker_seed import hooks

    return hooks.finish(context, Path.cwd())


if __name__ == "__main__":
    sys.exit(main())
