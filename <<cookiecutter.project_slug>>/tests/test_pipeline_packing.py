"""Code and data, packed and uploaded; the pipeline, created once and updated when it differs."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from conftest import GROUP, GROUP_ARN, ROOT, Stub

from deploy.errors import UsageError
from training.choices import Choices, read_choices
from training.describing import Description
from training.packing import (
    ENTRY_POINTS,
    SOURCEDIR,
    Package,
    Packages,
    archive,
    code_files,
    digest,
    pack,
    upload,
)
from training.project import Project, read_project
from training.publishing import upsert

BUCKET = "artifacts"


@pytest.fixture
def project(training_environment: dict[str, str]) -> Project:
    return read_project(training_environment)


@pytest.fixture
def choices() -> Choices:
    return read_choices(ROOT)


def scripts(folder: Path, **more: str) -> Path:
    """Write four small scripts, of which one imports a module beside it, and one that no job needs."""
    folder.mkdir(exist_ok=True)
    texts = dict.fromkeys(ENTRY_POINTS, "import json\n")
    texts |= {"train.py": "import tables\nfrom os import path\n", "tables.py": "import columns\n"}
    texts |= {"columns.py": "X = 1\n", "pipeline.py": "import tables\n", **more}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_what_the_scripts_import_comes_with_them_and_nothing_else(tmp_path: Path) -> None:
    expected = sorted([*ENTRY_POINTS, "tables.py", "columns.py"])
    assert code_files(scripts(tmp_path)) == expected


def test_the_jobs_never_get_what_makes_the_pipeline() -> None:
    found = set(code_files(ROOT / "training"))
    assert found >= set(ENTRY_POINTS)
    own = {
        "pipeline.py",
        "definition.py",
        "describing.py",
        "lint.py",
        "packing.py",
        "publishing.py",
        "runs.py",
    }
    assert found.isdisjoint(own)


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    (scripts(tmp_path) / "evaluate.py").unlink()
    with pytest.raises(UsageError, match=r"training/evaluate\.py cannot be read: No such file"):
        code_files(tmp_path)


def test_a_script_that_is_not_python_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"training/tables\.py, line 2: "):
        code_files(scripts(tmp_path, **{"tables.py": "x = 1\nif\n"}))


def test_digest_counts_names_and_contents_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"two")
    os.utime(tmp_path / "file", (1, 1))
    one = digest({"a": b"one", "b": b"two"})
    assert digest({"b": tmp_path / "file", "a": b"one"}) == one
    assert len({one, digest({"a": b"two", "b": b"one"}), digest({"a": b"one", "c": b"two"})}) == 3
    assert digest({"a": b"onetwo", "b": b""}) != digest({"a": b"one", "b": b"two"})


def test_archive_has_neither_times_nor_owners() -> None:
    packed = archive({"b.py": b"2", "a.py": b"1"})
    assert packed == archive({"a.py": b"1", "b.py": b"2"})
    assert packed[4:8] == b"\0\0\0\0"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        members = tar.getmembers()
    assert [(m.name, m.size, m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members] == [
        ("a.py", 1, 0, 0, 0, "", 0o644),
        ("b.py", 1, 0, 0, 0, "", 0o644),
    ]


def test_the_same_content_elsewhere_and_at_another_time_has_the_same_address(
    tmp_path: Path, project: Project, choices: Choices
) -> None:
    one = scripts(tmp_path / "one")
    other = Path(shutil.copytree(one, tmp_path / "other"))
    for file in other.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))
    first, second = (pack(project, choices, folder) for folder in (one, other))
    assert [p.uri for p in first] == [p.uri for p in second]
    assert first.code.files == second.code.files
    (other / "columns.py").write_text("X = 2\n", encoding="utf-8")
    assert pack(project, choices, other).code.uri != first.code.uri
    (one / "pipeline.py").write_text("changed = True\n", encoding="utf-8")
    assert pack(project, choices, one).code.uri == first.code.uri


def test_addresses_lie_below_the_project(tmp_path: Path, project: Project, choices: Choices) -> None:
    packages = pack(project, choices, scripts(tmp_path))
    for kind, package in zip(("code", "data", "sample"), packages, strict=True):
        assert package.prefix.startswith(f"iris/{kind}/")
        assert package.prefix.endswith("/")
        assert package.uri == f"s3://{project.bucket}/{package.prefix}"
    assert SOURCEDIR in packages.code.files
    assert [*packages.data.files] == [choices.data.name]


def test_the_sample_is_what_a_client_sends(tmp_path: Path, project: Project, choices: Choices) -> None:
    payload = pack(project, choices, scripts(tmp_path)).sample.files["payload.tar.gz"]
    assert isinstance(payload, bytes)
    with tarfile.open(fileobj=io.BytesIO(payload)) as tar:
        file = tar.extractfile("sample.csv")
        assert file is not None
        lines = file.read().decode().splitlines()
    header, first = choices.data.read_text(encoding="utf-8").splitlines()[:2]
    kept = [n for n, c in enumerate(header.split(",")) if c not in (choices.target, *choices.drop)]
    assert len(lines) == 5
    assert lines[0] == ",".join(first.split(",")[n] for n in kept)


def answer(*keys: str) -> dict[str, Any]:
    return {"Contents": [{"Key": key} for key in keys], "IsTruncated": False}


def test_only_what_is_missing_is_uploaded(stub: Stub) -> None:
    client, stubber = stub("s3")
    package = Package("iris/code/0a/", {"a.py": b"1", "b.py": b"2"}, BUCKET)
    stubber.add_response(
        "list_objects_v2", answer("iris/code/0a/a.py"), {"Bucket": BUCKET, "Prefix": "iris/code/0a/"}
    )
    expected = {"Bucket": BUCKET, "Key": "iris/code/0a/b.py", "Body": b"2"}
    key = "arn:aws:kms:eu-west-1:111111111111:key/0a"
    stubber.add_response(
        "put_object", {}, {**expected, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    )
    assert upload(client, package, key) == ["iris/code/0a/b.py"]


def test_without_a_key_the_bucket_decides(stub: Stub) -> None:
    client, stubber = stub("s3")
    stubber.add_response("list_objects_v2", {"IsTruncated": False}, {"Bucket": BUCKET, "Prefix": "p/"})
    stubber.add_response("put_object", {}, {"Bucket": BUCKET, "Key": "p/a", "Body": b"1"})
    assert upload(client, Package("p/", {"a": b"1"}, BUCKET), "") == ["p/a"]


def test_what_is_there_is_not_written_again(stub: Stub) -> None:
    client, stubber = stub("s3")
    stubber.add_response("list_objects_v2", answer("p/a"), {"Bucket": BUCKET, "Prefix": "p/"})
    assert upload(client, Package("p/", {"a": b"1"}, BUCKET), "") == []


PIPELINE = "iris-p-0123456789ab-training"
ARN = f"arn:aws:sagemaker:eu-west-1:111111111111:pipeline/{PIPELINE}"
DEFINITION = {"Version": "2020-12-01", "Steps": [{"Name": "A"}]}
TAGS = [
    {"Key": "sagemaker:project-name", "Value": "iris"},
    {"Key": "sagemaker:project-id", "Value": "p-0123456789ab"},
]


@pytest.fixture
def described(training_environment: dict[str, str]) -> Description:
    project = read_project({**training_environment, "ARTIFACT_KEY_ARN": ""})
    package = Package("iris/code/0a/", {"a.py": b"1"}, project.bucket)
    empty = Package("iris/data/0b/", {}, project.bucket)
    return Description(project, read_choices(ROOT), Packages(package, empty, empty), DEFINITION)


def uploads(stub: Stub, *there: str) -> Any:
    client, stubber = stub("s3")
    for number, keys in enumerate((there, (), ())):
        stubber.add_response(
            "list_objects_v2", {"Contents": [{"Key": key} for key in keys], "IsTruncated": False}
        )
        if not there and number == 0:
            stubber.add_response("put_object", {})
    return client


def group(stubber: Stubber) -> None:
    answer = {
        "ModelPackageGroupName": GROUP,
        "ModelPackageGroupArn": GROUP_ARN,
        "CreationTime": 0,
        "CreatedBy": {},
    }
    stubber.add_response("describe_model_package_group", {**answer, "ModelPackageGroupStatus": "Completed"})


def there(
    stubber: Stubber, project: Project, definition: Any, tags: list[dict[str, str]] | None = None
) -> None:
    answer = {
        "PipelineArn": ARN,
        "RoleArn": project.role_arn,
        "PipelineDescription": "Trains, evaluates and registers models of iris",
        "PipelineDefinition": json.dumps(definition, indent=1),
    }
    stubber.add_response("describe_pipeline", answer, {"PipelineName": PIPELINE})


def test_the_first_time_everything_is_made_and_tagged(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    stubber.add_client_error("describe_model_package_group", "ValidationException", "Group does not exist")
    expected_group = {"ModelPackageGroupName": GROUP, "ModelPackageGroupDescription": ANY, "Tags": TAGS}
    stubber.add_response("create_model_package_group", {"ModelPackageGroupArn": GROUP_ARN}, expected_group)
    stubber.add_client_error("describe_pipeline", "ResourceNotFound", "Pipeline does not exist")
    expected = {
        "PipelineName": PIPELINE,
        "PipelineDefinition": '{"Version":"2020-12-01","Steps":[{"Name":"A"}]}',
        "PipelineDescription": ANY,
        "RoleArn": described.project.role_arn,
        "Tags": TAGS,
    }
    stubber.add_response("create_pipeline", {"PipelineArn": ARN}, expected)
    done = upsert(client, uploads(stub), described)
    assert (done.outcome, done.group, done.uploaded) == ("created", "created", ["iris/code/0a/a.py"])


def test_the_same_again_writes_nothing(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    there(stubber, described.project, DEFINITION)
    stubber.add_response("list_tags", {"Tags": [*TAGS, {"Key": "own", "Value": "x"}]}, {"ResourceArn": ARN})
    done = upsert(client, uploads(stub, "iris/code/0a/a.py"), described)
    assert (done.outcome, done.group, done.uploaded) == ("unchanged", "found", [])


def test_a_difference_updates_it_and_puts_lost_tags_back(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    there(stubber, described.project, {**DEFINITION, "Steps": []})
    expected = {
        "PipelineName": PIPELINE,
        "PipelineDefinition": ANY,
        "PipelineDescription": ANY,
        "RoleArn": ANY,
    }
    stubber.add_response("update_pipeline", {"PipelineArn": ARN}, expected)
    stubber.add_response("list_tags", {"Tags": TAGS[:1]}, {"ResourceArn": ARN})
    stubber.add_response("add_tags", {}, {"ResourceArn": ARN, "Tags": TAGS})
    assert upsert(client, uploads(stub, "iris/code/0a/a.py"), described).outcome == "updated"


def test_two_at_once_end_with_one(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    stubber.add_client_error("describe_pipeline", "ResourceNotFound", "Pipeline does not exist")
    stubber.add_client_error(
        "create_pipeline", "ValidationException", "Pipeline names must be unique: already exists"
    )
    there(stubber, described.project, DEFINITION)
    stubber.add_response("list_tags", {"Tags": TAGS}, {"ResourceArn": ARN})
    assert upsert(client, uploads(stub, "iris/code/0a/a.py"), described).outcome == "unchanged"


def test_the_pipeline_is_not_touched_when_an_upload_fails(described: Description, stub: Stub) -> None:
    client, stubber = stub()
    group(stubber)
    s3, s3_stubber = stub("s3")
    s3_stubber.add_client_error("list_objects_v2", "AccessDenied", "Access Denied")
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        upsert(client, s3, described)


def test_nothing_here_needs_the_sdk() -> None:
    for name in ("publishing", "runs", "packing", "lint", "describing", "reporting", "results", "pipeline"):
        text = Path(ROOT, "training", f"{name}.py").read_text(encoding="utf-8")
        assert "import sagemaker" not in text
        assert "from sagemaker" not in text
