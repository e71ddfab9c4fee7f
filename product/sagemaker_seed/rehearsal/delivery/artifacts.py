"""The artifact store of a pipeline: zips in a bucket, read and written as whoever acts. Knows no action's meaning."""

from __future__ import annotations

import io
import secrets
import string
import zipfile
from dataclasses import dataclass
from typing import Any

from .execution import Artifact
from .failure import CONFIGURATION, ActionFailed

ALPHABET = string.ascii_letters + string.digits
# As CodePipeline shortens them in its keys.
PIPELINE_LENGTH, ARTIFACT_LENGTH, RANDOM_LENGTH = 20, 10, 7


@dataclass(frozen=True)
class Store:
    """Where a pipeline keeps its artifacts; ``key`` is the KMS key they are encrypted with, if it names one."""

    bucket: str
    pipeline: str
    key: str | None = None

    def place(self, name: str) -> Artifact:
        """A place for a new artifact, that no other has."""
        return Artifact(name, self.bucket, self._key(name))

    def put(self, s3: Any, name: str, content: bytes, revision: str = "") -> Artifact:
        """Writes an artifact; ``s3`` is a client of whoever writes."""
        artifact = Artifact(name, self.bucket, self._key(name), revision)
        s3.put_object(Bucket=artifact.bucket, Key=artifact.key, Body=content, **self.encryption())
        return artifact

    def encryption(self) -> dict[str, str]:
        """The parameters of an upload."""
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.key} if self.key else {}

    def _key(self, name: str) -> str:
        random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
        return f"{self.pipeline[:PIPELINE_LENGTH]}/{name[:ARTIFACT_LENGTH]}/{random}"


def get(s3: Any, artifact: Artifact) -> bytes:
    """The zip of an artifact."""
    content: bytes = s3.get_object(Bucket=artifact.bucket, Key=artifact.key)["Body"].read()
    return content


def read(s3: Any, artifact: Artifact, path: str) -> str:
    """The text of a file in an artifact.

    Raises:
        ActionFailed: the artifact is no zip, has no such file, or the file is no text.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(get(s3, artifact))) as archive:
            return archive.read(path).decode()
    except zipfile.BadZipFile:
        raise ActionFailed(f"Artifact {artifact.name} is not a zip file.", CONFIGURATION) from None
    except KeyError:
        raise ActionFailed(f"File [{path}] does not exist in artifact [{artifact.name}]", CONFIGURATION) from None
    except UnicodeDecodeError:
        raise ActionFailed(f"File [{path}] in artifact [{artifact.name}] is not UTF-8 text", CONFIGURATION) from None


def packed(files: dict[str, str]) -> bytes:
    """A zip of texts."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()
