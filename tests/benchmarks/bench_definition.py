"""The time of `python -m training.pipeline --definition` beyond the import of the SageMaker SDK, which is not ours."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from measure import in_turns, verdict

sys.path.insert(0, str(Path(__file__).parent.parent))
from seed_support.baking import GROUP, PROJECT, PROJECT_ID, REGION, bake, scrubbed

ROUNDS = 5


def main() -> int:
    """Prints the medians of the whole command and of the import alone, and of the lint."""
    environment = scrubbed(
        SAGEMAKER_PROJECT_NAME=PROJECT,
        SAGEMAKER_PROJECT_ID=PROJECT_ID,
        ARTIFACT_BUCKET="artifacts",
        SAGEMAKER_PIPELINE_ROLE_ARN="arn:aws:iam::111111111111:role/training",
        SOURCE_MODEL_PACKAGE_GROUP_NAME=GROUP,
        AWS_REGION=REGION,
        AWS_DEFAULT_REGION=REGION,
    )
    with tempfile.TemporaryDirectory() as folder:
        repository = bake(Path(folder))

        def python(*words: str) -> None:
            subprocess.run([sys.executable, *words], cwd=repository, env=environment, check=True, capture_output=True)

        whole, imports = in_turns(
            lambda _: python("-m", "training.pipeline", "--definition"),
            lambda _: python("-c", "import training.definition"),
            ROUNDS,
        )
        read = "import json, pathlib; from training.lint import lint"
        lint = f"{read}; lint(json.loads(pathlib.Path('tests/pipeline/definition.json').read_text()))"
        linted, empty = in_turns(lambda _: python("-c", lint), lambda _: python("-c", "pass"), ROUNDS)
    print(f"  --definition {whole:.2f} s, import of the SDK {imports:.2f} s (medians of {ROUNDS})")
    print(f"  lint {linted:.2f} s, an empty program {empty:.2f} s (medians of {ROUNDS})")
    quick = verdict("seconds beyond the import", whole - imports, 1, at_most=True)
    return 0 if verdict("seconds of a lint", linted, 1, at_most=True) and quick else 1


if __name__ == "__main__":
    sys.exit(main())
