"""Source actions: a commit of a CodeCommit repository, an object of a bucket. Watches neither for changes."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from ..ground import SECRET
from .execution import Revision, now
from .failure import CONFIGURATION, PERMISSION, ActionFailed
from .job import Job, Outcome, moment

ARCHIVE_SECONDS = 120


def codecommit(job: Job) -> Outcome:
    """The files of the newest commit of a branch, or of the commit that the execution was started with."""
    repository, branch = job.configuration["RepositoryName"], job.configuration["BranchName"]
    client = job.client("codecommit")
    commit_id = job.override.get("COMMIT_ID")
    if commit_id is None:
        commit_id = client.get_branch(repositoryName=repository, branchName=branch)["branch"]["commitId"]
    commit = client.get_commit(repositoryName=repository, commitId=commit_id)["commit"]
    message = commit.get("message", "").strip()
    url = f"{job.host}/codesuite/codecommit/repositories/{repository}/commit/{commit_id}"
    revision = Revision(commit_id, message[:2048], url, moment(commit.get("committer", {}).get("date", "")))
    job.note(revision=revision, external_id=commit_id, external_url=url)
    content = _archive(job, repository, commit_id)
    output = job.store.put(job.client("s3"), job.outputs[0], content, commit_id)
    variables = {
        "RepositoryName": repository,
        "BranchName": branch,
        "CommitId": commit_id,
        "CommitMessage": message,
        "AuthorDate": _iso(commit.get("author", {})),
        "CommitterDate": _iso(commit.get("committer", {})),
    }
    return Outcome(variables, (output,), revision.summary, revision)


def s3(job: Job) -> Outcome:
    """An object of a versioned bucket, as it is or as the execution was started with."""
    bucket, client = job.configuration["S3Bucket"], job.client("s3")
    key = job.configuration["S3ObjectKey"]
    if "S3_OBJECT_KEY" in job.override:
        if job.configuration.get("AllowOverrideForS3ObjectKey", "false").lower() != "true":
            raise ActionFailed(f"Action [{job.run.name}] does not allow an override of S3ObjectKey.", CONFIGURATION)
        key = job.override["S3_OBJECT_KEY"]
    if client.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        raise ActionFailed(
            f"The S3 bucket [{bucket}] does not have versioning enabled, which a source action needs.", CONFIGURATION
        )
    version = job.override.get("S3_OBJECT_VERSION_ID")
    try:
        found = client.get_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"NoSuchKey", "NoSuchVersion", "404"}:
            raise
        raise ActionFailed(
            f"The action failed because no object is at [{key}] in the bucket [{bucket}]"
            + (f" in version [{version}]." if version else "."),
            CONFIGURATION,
        ) from None
    content, version = found["Body"].read(), str(found.get("VersionId", version or "null"))
    revision = Revision(version, f"Amazon S3 version id: {version}", "", found.get("LastModified") or now())
    output = job.store.put(client, job.outputs[0], content, version)
    variables = {
        "BucketName": bucket,
        "ObjectKey": key,
        "VersionId": version,
        "ETag": str(found.get("ETag", "")).strip('"'),
    }
    return Outcome(variables, (output,), revision.summary, revision)


def _archive(job: Job, repository: str, commit: str) -> bytes:
    """The files of a commit as a zip: on AWS CodeCommit's UploadArchive, which no SDK has, here a signed GET."""
    url = f"{job.ground.url}/v1/repos/{quote(repository)}/archive?commit={commit}"
    request = AWSRequest(method="GET", url=url)
    SigV4Auth(Credentials(job.actor.key, SECRET, job.actor.token), "codecommit", job.region).add_auth(request)
    asked = urllib.request.Request(url, headers=dict(request.headers.items()))  # noqa: S310 - the ground's own http
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=ARCHIVE_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        code = PERMISSION if error.code == http.client.FORBIDDEN else "JobFailed"
        raise ActionFailed(f"Error calling uploadArchive: {_said(error.read())}", code) from None


def _said(body: bytes) -> str:
    text = body.decode(errors="replace")
    try:
        said: Any = json.loads(text)
        return f"{said.get('message') or said.get('Message')} (Error Code: {said.get('__type', 'Unknown')})"
    except (ValueError, AttributeError):
        return text[:1000]


def _iso(signature: dict[str, str]) -> str:
    """The date of a signature, as CodePipeline writes it into variables."""
    when = moment(signature.get("date", ""))
    return when.astimezone(now().tzinfo).strftime("%Y-%m-%dT%H:%M:%SZ")
