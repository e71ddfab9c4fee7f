"""Repositories, with the first commit made of a zip in S3."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from ..provider import Context, Made, ResourceFailed
from .common import Properties, gone_is_fine, not_changed, resource, retag, tags_of, undone

REPOSITORY = "AWS::CodeCommit::Repository"
BRANCH = "main"
MAX_ZIP = 20 * 1024 * 1024


def _create(context: Context, properties: Properties) -> Made:
    codecommit, name = context.client("codecommit"), properties["RepositoryName"]
    files = _files(context, properties["Code"]["S3"]) if "Code" in properties else []
    given = {
        "repositoryDescription": properties.get("RepositoryDescription"),
        "kmsKeyId": properties.get("KmsKeyId"),
        "tags": tags_of(context, properties),
    }
    made = codecommit.create_repository(repositoryName=name, **{k: v for k, v in given.items() if v})
    with undone(lambda: codecommit.delete_repository(repositoryName=name)):
        if files:
            codecommit.create_commit(
                repositoryName=name,
                branchName=properties["Code"].get("BranchName", BRANCH),
                authorName="AWS CloudFormation",
                commitMessage="Initial commit by AWS CloudFormation",
                putFiles=files,
            )
    return _repository(made["repositoryMetadata"])


def _files(context: Context, where: Properties) -> list[dict[str, Any]]:
    """What CreateCommit takes, of the zip that the template names."""
    version = {"VersionId": where["ObjectVersion"]} if "ObjectVersion" in where else {}
    found = context.client("s3").get_object(Bucket=where["Bucket"], Key=where["Key"], **version)
    place = f"s3://{where['Bucket']}/{where['Key']}"
    if found["ContentLength"] > MAX_ZIP:
        raise ResourceFailed(f"The code at {place} has {found['ContentLength']} bytes; at most {MAX_ZIP} are allowed.")
    try:
        with zipfile.ZipFile(io.BytesIO(found["Body"].read())) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            return [{"filePath": member.filename, "fileContent": archive.read(member)} for member in members]
    except zipfile.BadZipFile as error:
        raise ResourceFailed(f"The code at {place} is not a zip file: {error}") from error


def _repository(repository: Properties) -> Made:
    attributes = {
        "Arn": repository["Arn"],
        "CloneUrlHttp": repository["cloneUrlHttp"],
        "CloneUrlSsh": repository["cloneUrlSsh"],
        "Name": repository["repositoryName"],
        "RepositoryId": repository["repositoryId"],
    }
    return Made(repository["repositoryId"], attributes)


def _update(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    """``Code`` is read at creation alone, so that a change of it changes nothing, as on AWS."""
    not_changed(REPOSITORY, old, new, "KmsKeyId")
    codecommit, name = context.client("codecommit"), new["RepositoryName"]
    if name != made.attributes["Name"]:
        codecommit.update_repository_name(oldName=made.attributes["Name"], newName=name)
    if old.get("RepositoryDescription") != new.get("RepositoryDescription"):
        codecommit.update_repository_description(
            repositoryName=name, repositoryDescription=new.get("RepositoryDescription", "")
        )
    repository = codecommit.get_repository(repositoryName=name)["repositoryMetadata"]
    arn = repository["Arn"]
    retag(
        codecommit.list_tags_for_resource(resourceArn=arn)["tags"],
        tags_of(context, new),
        lambda tags: codecommit.tag_resource(resourceArn=arn, tags=tags),
        lambda keys: codecommit.untag_resource(resourceArn=arn, tagKeys=keys),
    )
    return _repository(repository)


def _delete(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine("RepositoryDoesNotExistException"):
        context.client("codecommit").delete_repository(repositoryName=made.attributes["Name"])


PROVIDERS = dict(
    (
        resource(
            REPOSITORY, _create, _update, _delete, honours="Code KmsKeyId RepositoryDescription RepositoryName Tags"
        ),
    )
)
