"""Makes what a person reads before approving the next stage: as JSON, page and gist; decides nothing.

Runs after the tests of a stage, in the same build. What cannot be read is said in its place, and is no reason
to fail: the person who approves must see that it is missing.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

HERE = Path(__file__).resolve().parent
# The folder of this file comes first by itself; deploy/ stands beside it.
sys.path.insert(1, str(HERE.parent))

from deploy.errors import AwsError, DeployError, UsageError, one_line  # noqa: E402
from deploy.exports import Export, read_export, write_all  # noqa: E402
from presenting import gist, html  # noqa: E402

SCHEMA = "approval-summary"
SCHEMA_VERSION = 1
JSON_FILE, PAGE_FILE, VARIABLES_FILE = (
    "approval-summary.json",
    "approval-summary.html",
    "approval-variables.sh",
)
CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
LESS_IS_BETTER = frozenset({"log_loss", "rmse", "mae", "mse"})
_LARGEST_DOCUMENT = 5_000_000
# What a stack was told holds for what it has made.
_STANDS = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
_NEEDED = ("AWS_REGION", "ARTIFACT_BUCKET", "STAGE")

HELP = """\
usage: python approval/summary.py

Writes approval-summary.json, approval-summary.html and approval-variables.sh, and puts the first two into
the project's bucket. Reads from the environment: AWS_REGION, ARTIFACT_BUCKET, STAGE (what was tested),
NEXT_STAGE (what the summary is about; empty after the last stage), EXPORT_TEST_RESULTS, EXPORT_TEMPLATE_NAME,
CODEBUILD_SRC_DIR_BuildArtifact (where the build's files are), NEXT_DEPLOY_ROLE_ARN (a role that may look at
the next stage, if that is in another account), DEPLOY_ROLE_EXTERNAL_ID (what that role asks for),
REPOSITORY_NAME, COMMIT_ID and PIPELINE_EXECUTION_ID.

Exit codes: 0 written, or no stage follows; 1 AWS refused the upload; 2 wrong use or bad input.
"""


@dataclass(frozen=True)
class Subject:
    """What is to be approved: the files of the build for the stage that follows the tested one."""

    region: str
    bucket: str
    stage: str
    following: str
    planned: Export
    template: str
    results: Path
    commit: str
    repository: str
    execution: str

    @property
    def name(self) -> str:
        """Return project and id, with which everything of this project is named."""
        named = self.planned.parameters
        return f"{named['SageMakerProjectName']}-{named['SageMakerProjectId']}"


@dataclass(frozen=True)
class Clients:
    """Makes clients of boto3 for a service: of this account (`here`), and of the next stage's (`there`)."""

    here: Callable[[str], Any]
    there: Callable[[str], Any]


class _NotThere(Exception):
    """There is nothing in the next stage yet."""


# ------------------------------------------------------------------------------------------ the build's files


def read_subject(environment: Mapping[str, str]) -> Subject | None:
    """Return what is to be approved, or None after the last stage. Raises UsageError."""
    missing = [name for name in _NEEDED if not environment.get(name)]
    if missing:
        raise UsageError(f"{', '.join(missing)} not set: this runs in the build that tests a stage")
    following = environment.get("NEXT_STAGE", "")
    if not following:
        return None
    folder = Path(environment.get("CODEBUILD_SRC_DIR_BuildArtifact") or ".")
    try:
        planned = read_export(_text(folder / f"{following}-config-export.json"))
    except ValueError as error:
        raise UsageError(f"{following}-config-export.json: {error}") from error
    return Subject(
        region=environment["AWS_REGION"],
        bucket=environment["ARTIFACT_BUCKET"],
        stage=environment["STAGE"],
        following=following,
        planned=planned,
        template=_text(folder / (environment.get("EXPORT_TEMPLATE_NAME") or "template-export.yml")),
        results=Path(environment.get("EXPORT_TEST_RESULTS") or "test-results.json"),
        commit=environment.get("COMMIT_ID", ""),
        repository=environment.get("REPOSITORY_NAME", ""),
        execution=re.sub(r"[^A-Za-z0-9-]", "-", environment.get("PIPELINE_EXECUTION_ID") or "by-hand"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; it is made by build.py") from error


def tests(subject: Subject) -> dict[str, Any]:
    """Return the outcome of the stage's tests, each check in one line, and what was measured."""
    try:
        found = json.loads(subject.results.read_text(encoding="utf-8"))
        checks = [
            {key: str(check[key]) for key in ("name", "outcome", "message")} for check in found["checks"]
        ]
        outcome = str(found["outcome"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"problem": f"{subject.results} cannot be read: {one_line(error)}"}
    counts = {
        name: sum(check["outcome"] == name for check in checks)
        for name in ("passed", "failed", "error", "skipped")
    }
    return {
        "outcome": outcome,
        "counts": counts,
        "checks": checks,
        "measurements": found.get("measurements") or {},
    }


def cost(parameters: Mapping[str, str], prices: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the instances cost in a month, `least` and `most`; or as `problem` why it is not known."""
    if parameters.get("ServerlessProvisionedConcurrency", "0") != "0":
        return {"problem": "the price table has none of provisioned concurrency (approval/prices.json)"}
    kind = parameters.get("EndpointInstanceType", "")
    if not kind:
        return {"problem": "it has no instances of its own that run all the time, so it costs what is used"}
    hourly = prices["per_instance_hour"].get(kind)
    if hourly is None:
        return {"problem": f"{kind} is not in the price table of {prices['date']} (approval/prices.json)"}
    count = int(parameters.get("EndpointInstanceCount", "1"))
    most = int(parameters.get("AutoscalingMaxCapacity", "0"))
    least, most = (int(parameters.get("AutoscalingMinCapacity", "1")), most) if most else (count, count)
    if parameters.get("ShadowModelPackageName"):
        # It has as many of its own, which nothing scales.
        least, most = least + count, most + count
    month = hourly * prices["hours_per_month"]
    return {"instance_type": kind, "least": round(least * month, 2), "most": round(most * month, 2)}


# ----------------------------------------------------------------------------------------------------- models


def model(clients: Clients, arn: str) -> dict[str, Any]:
    """Return a model package: group, version, commit that it was trained from, and its metrics."""
    described = clients.here("sagemaker").describe_model_package(ModelPackageName=arn)
    metadata = described.get("CustomerMetadataProperties") or {}
    statistics = ((described.get("ModelMetrics") or {}).get("ModelQuality") or {}).get("Statistics") or {}
    uri = metadata.get("evaluation") or statistics.get("S3Uri", "")
    found: dict[str, Any] = {
        "package": arn,
        "group": described.get("ModelPackageGroupName", ""),
        "version": described.get("ModelPackageVersion", 0),
        "approval": described.get("ModelApprovalStatus", ""),
        "trained_from": metadata.get("commit", ""),
        "metric": metadata.get("metric", ""),
        "metrics": {},
    }
    if not uri:
        return found | {"metrics_problem": "it was registered without metrics"}
    s3 = clients.here("s3")
    try:
        return found | {"metrics": figures(_document(s3, uri))}
    except (s3.exceptions.ClientError, ValueError) as error:
        return found | {"metrics_problem": f"{uri} cannot be read: {one_line(error)}"}


def _document(s3: Any, uri: str) -> Any:
    place = urlsplit(uri)
    answer = s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
    if answer["ContentLength"] > _LARGEST_DOCUMENT:
        raise ValueError(f"it has {answer['ContentLength']} bytes")
    return json.loads(answer["Body"].read())


def figures(document: Any) -> dict[str, float]:
    """Return the metrics in evaluation.json, or in a document in the format of SageMaker's model quality."""
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if isinstance(document.get("metrics"), dict):
        return {str(name): float(value) for name, value in document["metrics"].items() if _number(value)}
    return {
        str(name): float(entry["value"])
        for group in document.values()
        if isinstance(group, dict)
        for name, entry in group.items()
        if isinstance(entry, dict) and _number(entry.get("value"))
    }


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _endpoint(subject: Subject, clients: Clients) -> dict[str, Any]:
    """Return the next stage's endpoint. Raises _NotThere."""
    there = clients.there("sagemaker")
    try:
        found: dict[str, Any] = there.describe_endpoint(EndpointName=f"{subject.name}-{subject.following}")
    except there.exceptions.ClientError as error:
        # SageMaker has no error of its own for a missing endpoint.
        if error.response["Error"].get("Code") == "ValidationException" and "not find" in str(error):
            raise _NotThere from error
        raise
    return found


def served(subject: Subject, clients: Clients) -> str:
    """Return the model package behind the next stage's endpoint, or an empty string. Raises _NotThere."""
    there, described = clients.there("sagemaker"), _endpoint(subject, clients)
    config = there.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    made = there.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    containers = made.get("Containers") or [made.get("PrimaryContainer") or {}]
    return str(containers[0].get("ModelPackageName", ""))


def compared(new: Mapping[str, float], old: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return each metric of the new model beside the old one's, and whether it is better (or None)."""
    rows = []
    for name, value in new.items():
        before = old.get(name)
        better = None if before is None or before == value else (value < before) == (name in LESS_IS_BETTER)
        rows.append({"name": name, "new": value, "deployed": before, "better": better})
    return rows


# ---------------------------------------------------------------------------------------------- configuration


def changes(subject: Subject, clients: Clients) -> dict[str, Any]:
    """Return how the next stage's stack differs from what is planned, in parameters, template and resources.

    Read only, where a change set would need the rights of a deployment.
    """
    found, client = _stack(subject, clients), clients.there("cloudformation")
    now = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", ())}
    body = client.get_template(StackName=found["StackId"], TemplateStage="Original")["TemplateBody"]
    before, after = blocks(body if isinstance(body, str) else json.dumps(body)), blocks(subject.template)
    planned = subject.planned.parameters
    parameters = [
        {"name": name, "from": now.get(name), "to": planned.get(name)}
        for name in dict.fromkeys([*planned, *now])
        if now.get(name) != planned.get(name)
    ]
    template = [
        {"section": key[0], "name": key[1], "change": _change(before.get(key), after.get(key))}
        for key in dict.fromkeys([*after, *before])
        if before.get(key) != after.get(key)
    ]
    names = {change["name"] for change in parameters} | {change["name"] for change in template}
    return {
        "stack": found["StackName"],
        "stack_status": found["StackStatus"],
        "parameters": parameters,
        "template": template,
        "resources": touched(after, names),
        "deployed_parameters": now,
    }


def _stack(subject: Subject, clients: Clients) -> dict[str, Any]:
    """Return the next stage's stack; one that a stack set has named is found by the endpoint's tag."""
    client, name = clients.there("cloudformation"), f"sagemaker-{subject.name}-{subject.following}"
    try:
        found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except client.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        arn = _endpoint(subject, clients)["EndpointArn"]
        tags = clients.there("sagemaker").list_tags(ResourceArn=arn)["Tags"]
        named = next((tag["Value"] for tag in tags if tag["Key"] == "aws:cloudformation:stack-name"), "")
        if not named:
            raise ValueError(f"no stack has made {arn}") from error
        found = client.describe_stacks(StackName=named)["Stacks"][0]
    return found


def _change(before: str | None, after: str | None) -> str:
    return "added" if before is None else "removed" if after is None else "changed"


def blocks(template: str) -> dict[tuple[str, str], str]:
    """Return the parts of a template in JSON or block-style YAML: (section, name) -> text, no comments."""
    if template.lstrip().startswith("{"):
        data = json.loads(template)
        named = {name: section for name, section in data.items() if isinstance(section, dict)}
        return {
            (n, key): json.dumps(value, sort_keys=True) for n, s in named.items() for key, value in s.items()
        }
    found: dict[tuple[str, str], list[str]] = {}
    section, name = "", ""
    for line in template.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if top := re.match(r"([A-Za-z]\w*):", line):
            section, name = top[1], ""
        elif part := re.match(r" {1,4}([A-Za-z]\w*):", line):
            indent = len(line) - len(line.lstrip())
            name = part[1] if not name or indent <= _indent(found[section, name]) else name
        if name:
            found.setdefault((section, name), []).append(line.rstrip())
    return {key: "\n".join(lines) for key, lines in found.items()}


def _indent(lines: list[str]) -> int:
    return len(lines[0]) - len(lines[0].lstrip())


def touched(template: Mapping[tuple[str, str], str], names: set[str]) -> list[dict[str, str]]:
    """Return the resources that changed, and those that refer, through others too, to what changed."""
    parts = {
        name: text
        for (section, name), text in template.items()
        if section in ("Resources", "Conditions", "Mappings")
    }
    words = {
        name: set(re.findall(r"\w+", re.sub(r"(?m)^\s*Type: .*$", "", text))) for name, text in parts.items()
    }
    reached = set(names)
    while more := {name for name, used in words.items() if name not in reached and used - {name} & reached}:
        reached |= more
    return [
        {
            "name": name,
            "type": _type(text),
            "change": "changed" if name in names else "refers to what changed",
        }
        for (section, name), text in template.items()
        if section == "Resources" and name in reached
    ]


def _type(text: str) -> str:
    found = re.search(r"[\"']?Type[\"']?: *[\"']?((?:AWS|Custom)::[\w:-]+)", text)
    return found[1] if found else ""


# ----------------------------------------------------------------------------------------------- all together


def commit(subject: Subject, clients: Clients) -> dict[str, Any]:
    """Return who wrote the commit, when, and its first line."""
    if not subject.commit or not subject.repository:
        return {"problem": "the run was not told which commit it is of"}
    client = clients.here("codecommit")
    found = client.get_commit(repositoryName=subject.repository, commitId=subject.commit)["commit"]
    author, lines = found.get("author") or {}, found.get("message", "").strip().splitlines()
    return {
        "id": subject.commit,
        "author": author.get("name", "unknown"),
        "date": moment(author.get("date", "")),
        "message": lines[0] if lines else "",
    }


def moment(date: str) -> str:
    """Return a date of CodeCommit's, seconds and offset such as `1484167798 -0800`, as people write it."""
    seconds, _, offset = date.partition(" ")
    try:
        zone = datetime.strptime(offset, "%z").tzinfo
        return datetime.fromtimestamp(int(seconds), zone).isoformat(sep=" ")
    except ValueError:
        return date


def summarise(subject: Subject, clients: Clients, prices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole summary; what could not be read has a `problem` in place of its content."""
    planned = subject.planned.parameters
    # With a shadow it is the shadow that was approved, and what goes on serving that was before.
    shadow, serving = planned.get("ShadowModelPackageName", ""), planned.get("ModelPackageName", "")
    new = _section(lambda: model(clients, shadow or serving))
    found = _section(lambda: changes(subject, clients))
    now = found.pop("deployed_parameters", None)
    told = now.get("ModelPackageName", "") if now and found["stack_status"] in _STANDS else ""
    old = _section(lambda: _deployed(subject, clients, told))
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "project": subject.name,
        "stage": subject.stage,
        "following": subject.following,
        "execution": subject.execution,
        "model": new,
        "shadow_of": serving if shadow else "",
        "deployed": old,
        "metrics": compared(new.get("metrics", {}), old.get("metrics", {})),
        "changes": found,
        "tests": tests(subject),
        "commit": _section(lambda: commit(subject, clients)),
        "cost": {
            "planned": cost(planned, prices),
            "deployed": None if now is None else cost(now, prices),
            **{key: prices[key] for key in ("currency", "region", "date", "source", "hours_per_month")},
            "stage_region": subject.region,
        },
    }


def _deployed(subject: Subject, clients: Clients, told: str) -> dict[str, Any]:
    """Return the model in the next stage: the endpoint's; without one, that which its stack was `told`."""
    try:
        package = served(subject, clients)
    except _NotThere:
        if not told:
            raise
        package = told
    return model(clients, package) if package else {"problem": "was made without a model package"}


def _section(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return read()
    except _NotThere:
        return {"nothing": True}
    except (BotoCoreError, ClientError, ValueError, KeyError) as error:
        return {"problem": f"cannot be read: {one_line(error)}"}
    except Exception as error:  # the rest of the summary is worth making all the same
        return {"problem": f"cannot be read: unexpected {one_line(error)}"}


def link(subject: Subject, key: str) -> str:
    """Return the page's place in the S3 console: whoever may read the bucket opens it, at any time."""
    host = next(
        (host for start, host in CONSOLES.items() if subject.region.startswith(start)),
        "console.aws.amazon.com",
    )
    where = f"region={subject.region}&prefix={quote(key)}"
    return f"https://{subject.region}.{host}/s3/object/{subject.bucket}?{where}"


def connect(region: str, role_arn: str, external_id: str = "") -> Clients:
    """Return what makes clients; those that look at the next stage have `role_arn`, if there is one.

    `external_id` is what the role's trust policy asks for, if it asks for one.

    Each is made when it is first needed: a role that may not be assumed hides only what it would have seen.
    """
    import boto3
    from botocore.config import Config

    patient = Config(
        retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=30
    )
    session = boto3.Session(region_name=region)

    @cache
    def here(service: str) -> Any:
        return session.client(service, config=patient)  # type: ignore[call-overload]

    @cache
    def keys() -> dict[str, str]:
        asked_for = {"ExternalId": external_id} if external_id else {}
        answer = here("sts").assume_role(RoleArn=role_arn, RoleSessionName="approval-summary", **asked_for)[
            "Credentials"
        ]
        return {
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }

    @cache
    def there(service: str) -> Any:
        return session.client(service, config=patient, **keys())  # type: ignore[call-overload]

    return Clients(here, there if role_arn else here)


def _files(subject: Subject, summary: dict[str, Any], folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, content type and text of each file that the bucket gets."""
    summary |= {"url": link(subject, f"{folder}{PAGE_FILE}"), "gist": gist(summary)}
    yield JSON_FILE, "application/json", json.dumps(summary, indent=2) + "\n"
    yield PAGE_FILE, "text/html; charset=utf-8", html(summary)


def make(subject: Subject, clients: Clients) -> dict[str, Any]:
    """Make the summary, write its files and put them into the bucket. Raises AwsError, DeployError."""
    from botocore.exceptions import BotoCoreError, ClientError

    prices = json.loads(_text(HERE / "prices.json"))
    summary = summarise(subject, clients, prices)
    folder = f"approvals/{subject.execution}/{subject.stage}/"
    files = list(_files(subject, summary, folder))
    variables = {"SUMMARY_URL": summary["url"], "SUMMARY_GIST": summary["gist"]}
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    try:
        write_all({**{Path(name): text for name, _, text in files}, Path(VARIABLES_FILE): lines})
    except OSError as error:
        raise DeployError(f"Cannot write the summary: {error}") from error
    try:
        for name, kind, text in files:
            clients.here("s3").put_object(
                Bucket=subject.bucket, Key=f"{folder}{name}", Body=text.encode(), ContentType=kind
            )
    except (BotoCoreError, ClientError) as error:
        raise AwsError(f"The summary is not in the bucket: {one_line(error)}") from error
    return summary


def main(arguments: list[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run the command line; return its exit code."""
    environment = os.environ if environment is None else environment
    words = sys.argv[1:] if arguments is None else arguments
    if words in (["-h"], ["--help"]):
        print(HELP, end="")
        return 0
    try:
        if words:
            raise UsageError(f"takes no arguments, but was given {' '.join(words)} (see --help)")
        subject = read_subject(environment)
        if subject is None:
            print(f"approval: no stage follows {environment['STAGE']}: nothing to approve")
            return 0
        role, asked_for = (
            environment.get(name, "") for name in ("NEXT_DEPLOY_ROLE_ARN", "DEPLOY_ROLE_EXTERNAL_ID")
        )
        summary = make(subject, connect(subject.region, role, asked_for))
    except DeployError as error:
        print(f"summary.py: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{summary['gist']}\n{summary['url']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
