"""What is ordered: one build, with everything that its project and its start say. Decides and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """A build to run.

    Attributes:
        identifier: ``project:uuid``.
        source: type, location and the like, as in the API; ``secondary`` likewise.
        version: of the source: a commit, branch or tag, or the version of an object; or what a pipeline says it is.
        from_pipeline: whether a pipeline brings the source and takes the artifacts.
        variables: of the project and of the start, as in the API; a later one wins.
        key: the KMS key for artifacts; empty for S3's own.
    """

    identifier: str
    arn: str
    project: str
    project_arn: str
    number: int
    account: str
    region: str
    partition: str
    role: str
    image: str
    initiator: str
    source: Parameters
    version: str
    secondary: Sequence[Parameters]
    secondary_versions: Mapping[str, str]
    from_pipeline: bool
    artifacts: Parameters
    secondary_artifacts: Sequence[Parameters]
    variables: Sequence[Parameters]
    key: str
    logs: Parameters
    seconds: float
    warnings: Sequence[str]
