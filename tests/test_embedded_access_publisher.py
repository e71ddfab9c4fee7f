"""The publisher's policy of catalog.yaml, held against what publishing does in a strict embedded AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.answers import Seed, read_seed
from sagemaker_seed.console import Console
from sagemaker_seed.errors import SeedError
from sagemaker_seed.publish.clients import Clients
from sagemaker_seed.publish.flow import publish
from sagemaker_seed.rehearsal import catalog
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.services.template import parse
from support import REGION, ROOT
from test_answers import GOOD

ACCOUNT, BUCKET = "511111111111", "sagemaker-seed-511111111111"


@pytest.fixture(scope="module")
def aws(strict_aws: EmbeddedAws) -> EmbeddedAws:
    """A strict embedded AWS with a catalog."""
    catalog.set_up(strict_aws, BUCKET, ACCOUNT)
    return strict_aws


@pytest.fixture(scope="module")
def resources(aws: EmbeddedAws) -> Any:
    """The resources of catalog.yaml, with the catalog's names in place of what CloudFormation would put there."""
    portfolio = aws.client("servicecatalog", ACCOUNT).list_portfolios()["PortfolioDetails"][0]["Id"]
    role = aws.client("iam", ACCOUNT).get_role(RoleName=catalog.LAUNCH_ROLE)["Role"]["Arn"]
    names = {
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "LaunchRole.Arn": role,
        "Portfolio": portfolio,
        "SeedBucket.Arn": f"arn:aws:s3:::{BUCKET}",
    }

    def resolved(value: Any) -> Any:
        if isinstance(value, list) and value[:1] == ["MakesLaunchRole"]:
            return resolved(value[1])  # an `If`, whose short form is read as a plain list
        if isinstance(value, dict):
            return {key: resolved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [resolved(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return names.get(value) or re.sub(r"\$\{([\w:.]+)\}", lambda found: names[found[1]], value)

    made = parse((ROOT / "product/cloudformation/catalog.yaml").read_text())["Resources"]
    return {
        name: resolved(made[name]["Properties"]["PolicyDocument"]) for name in ("PublisherPolicy", "SeedBucketPolicy")
    }


@pytest.fixture(scope="module")
def _guarded(aws: EmbeddedAws, resources: Any) -> None:
    """Puts the template's policy on the seed bucket, as without a role that may delete."""
    policy = resources["SeedBucketPolicy"]
    policy["Statement"] = [
        {key: value for key, value in statement.items() if key != "Condition" or isinstance(value, dict)}
        for statement in policy["Statement"]
    ]
    aws.client("s3", ACCOUNT).put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))


def publisher(aws: EmbeddedAws, name: str, policy: Any) -> tuple[Clients, str]:
    """The clients of somebody with this policy alone, and the role's ARN."""
    iam = aws.client("iam", ACCOUNT)
    statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="publisher", PolicyDocument=json.dumps(policy))
    session = aws.client("sts", ACCOUNT).assume_role(RoleArn=arn, RoleSessionName="publishes")
    key = session["Credentials"]["AccessKeyId"]
    return Clients(*(aws.client(service, key) for service in ("s3", "servicecatalog", "sts"))), str(arn)


def make_seed(folder: Path, code: str, **answers: str) -> Seed:
    folder.mkdir(exist_ok=True)
    content = {"template_version": "0.1.0", "answers": {**GOOD, "aws_region": REGION, **answers}}
    (folder / "seed.json").write_text(json.dumps(content))
    (folder / "build.py").write_text(code)
    return read_seed(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("_guarded")
def test_the_publishers_policy_is_enough_and_every_statement_of_it_is_needed(
    aws: EmbeddedAws, resources: Any, tmp_path: Path
) -> None:
    clients, arn = publisher(aws, "publisher", resources["PublisherPolicy"])
    first = publish(clients, make_seed(tmp_path, "print(1)\n"), Console(), bucket=BUCKET)
    again = publish(clients, make_seed(tmp_path, "print(1)\n"), Console(), bucket=BUCKET)
    second = publish(clients, make_seed(tmp_path, "print(2)\n"), Console(), bucket=BUCKET)
    assert (bool(first["steps"]), again["steps"], bool(second["steps"])) == (True, [], True)
    assert first["version"] != second["version"]
    used = {grant.statement for grant in aws.grants() if grant.holder == arn}
    assert used == {statement["Sid"] for statement in resources["PublisherPolicy"]["Statement"]}


@pytest.mark.slow
@pytest.mark.usefixtures("_guarded")
@pytest.mark.parametrize(
    "action",
    [
        "iam:PassRole",
        "s3:ListBucket",
        "s3:PutObjectTagging",
        "servicecatalog:CreateConstraint",
        "servicecatalog:CreateProduct",
        "cloudformation:ValidateTemplate",
    ],
)
def test_without_one_permission_publishing_fails_and_names_it(
    aws: EmbeddedAws, resources: Any, tmp_path: Path, action: str
) -> None:
    policy = json.loads(json.dumps(resources["PublisherPolicy"]))
    policy["Statement"].append({"Effect": "Deny", "Action": action, "Resource": "*"})
    clients, _ = publisher(aws, "lacks-" + action.replace(":", "-"), policy)
    name = action.lower().partition(":")[2]
    seed = make_seed(tmp_path, "print(1)\n", project_name=name, project_slug=name)
    with pytest.raises(SeedError, match=action):
        publish(clients, seed, Console(), bucket=BUCKET)
