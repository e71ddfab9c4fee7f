"""Policies of resources and trusts in a strict embedded AWS: who is let in by them, who is kept out, what is noted.

The policies of our own templates are here too: that each Deny denies, and that what no rehearsal asks lets in whom it
names and nobody else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.policies import Asked, evaluate
from sagemaker_seed.rehearsal.embedded import EmbeddedAws, Grant
from sagemaker_seed.rehearsal.road.stacks import deploy
from test_embedded_access_strict import Role, allow, deny, document, numbers, refusal
from test_product_templates import PROJECT, Resolved, load

pytestmark = pytest.mark.slow

REGION = "eu-west-1"
HERE, THERE = "611111111111", "622222222222"
TEMPLATES = Path(__file__).parent.parent / "product/cloudformation"
NO_RESOURCE_POLICY = "because no resource-based policy allows the "
NO_IDENTITY_POLICY = "because no identity-based policy allows the "
DENIED = "with an explicit deny in a resource-based policy"
TAG = "servicecatalog:provisioning=true"


@pytest.fixture(scope="module")
def aws(strict_aws: EmbeddedAws) -> EmbeddedAws:
    return strict_aws


def to(account: str, action: str | list[str], resource: str, **more: Any) -> dict[str, Any]:
    """A statement that lets in an account, or with an ARN for one a role."""
    return allow(action, resource, Sid="In", Principal={"AWS": account}, **more)


def noted(aws: EmbeddedAws, holder: str, statement: str) -> Grant | None:
    """What a statement of the policy of a resource has done."""
    return next((g for g in aws.grants() if g.holder == holder and g.statement == statement), None)


# --- topics


class Topic:
    """A topic with a policy of its own."""

    def __init__(self, aws: EmbeddedAws, **attributes: str) -> None:
        self.sns = aws.client("sns", HERE)
        self.arn = str(self.sns.create_topic(Name=f"topic-{next(numbers)}", Attributes=attributes)["TopicArn"])

    def let(self, *statements: dict[str, Any]) -> None:
        self.sns.set_topic_attributes(TopicArn=self.arn, AttributeName="Policy", AttributeValue=document(*statements))

    def publish(self, role: Role) -> Callable[[], Any]:
        return lambda: role.client("sns").publish(TopicArn=self.arn, Message="m")


def test_across_accounts_a_topic_takes_both_policies(aws: EmbeddedAws) -> None:
    topic = Topic(aws)
    may, may_not = Role(aws, allow("sns:Publish"), account=THERE), Role(aws, account=THERE)
    assert NO_RESOURCE_POLICY in refusal(topic.publish(may))[1]
    topic.let(to(THERE, "sns:Publish", topic.arn))
    assert NO_IDENTITY_POLICY in refusal(topic.publish(may_not))[1]
    assert topic.publish(may)()["MessageId"]
    grant = noted(aws, topic.arn, "In")
    assert grant is not None
    assert (grant.policy, grant.actions, grant.alone) == ("topic policy", {"sns:Publish": 1}, 1)


def test_a_topic_that_names_a_role_of_its_account_needs_nothing_else(aws: EmbeddedAws) -> None:
    topic, nobody, both = Topic(aws), Role(aws, account=HERE), Role(aws, allow("sns:Publish"), account=HERE)
    assert NO_IDENTITY_POLICY in refusal(topic.publish(nobody))[1]  # the policy that a topic begins with names nobody
    topic.let(to(nobody.arn, "sns:Publish", topic.arn), {**to(both.arn, "sns:Publish", topic.arn), "Sid": "Both"})
    assert topic.publish(nobody)()["MessageId"]
    assert topic.publish(both)()["MessageId"]
    alone, either = noted(aws, topic.arn, "In"), noted(aws, topic.arn, "Both")
    assert alone is not None and either is not None
    assert (alone.alone, either.alone) == (1, 0), "the other role's own policy would have done"


def test_what_a_topic_denies_no_policy_allows(aws: EmbeddedAws) -> None:
    topic, role = Topic(aws), Role(aws, allow("sns:*"), account=HERE)
    topic.let(deny("sns:Publish", topic.arn, Principal="*"))
    assert refusal(topic.publish(role))[1].endswith(DENIED)
    assert role.client("sns").get_topic_attributes(TopicArn=topic.arn)["Attributes"]


def test_who_publishes_to_a_topic_with_a_key_needs_the_key_through_sns(aws: EmbeddedAws) -> None:
    key = aws.client("kms", HERE).create_key()["KeyMetadata"]["Arn"]
    topic, role = Topic(aws, KmsMasterKeyId=key), Role(aws, allow("sns:Publish"), account=HERE)
    assert f"kms:GenerateDataKey on resource: {key}" in refusal(topic.publish(role))[1]
    role.let(allow("sns:Publish"), allow(["kms:GenerateDataKey*", "kms:Decrypt"], Condition=through("s3")))
    assert "kms:GenerateDataKey" in refusal(topic.publish(role))[1]
    role.let(allow("sns:Publish"), allow("kms:GenerateDataKey*", Condition=through("sns")))
    assert "kms:Decrypt" in refusal(topic.publish(role))[1]
    role.let(allow("sns:Publish"), allow(["kms:GenerateDataKey*", "kms:Decrypt"], Condition=through("sns")))
    assert topic.publish(role)()["MessageId"]


def through(service: str) -> dict[str, Any]:
    return {"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}}


# --- queues, buses, groups, trusts


def test_the_policy_of_a_queue_counts(aws: EmbeddedAws) -> None:
    sqs, role = aws.client("sqs", HERE), Role(aws, allow("sqs:SendMessage"), account=HERE)
    url = sqs.create_queue(QueueName=f"queue-{next(numbers)}")["QueueUrl"]

    def send() -> Any:
        return role.client("sqs").send_message(QueueUrl=url, MessageBody="m")

    assert send()["MessageId"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(deny("sqs:SendMessage", "*", Principal="*"))})
    assert refusal(send)[1].endswith(DENIED)


def test_a_bus_of_another_account_takes_both_policies(aws: EmbeddedAws) -> None:
    name = f"bus-{next(numbers)}"
    there = aws.client("events", THERE)
    bus = str(there.create_event_bus(Name=name)["EventBusArn"])
    role, here = Role(aws, allow("events:PutEvents", bus), account=HERE), aws.client("events", HERE)
    trusts = {
        "Sid": "Rules",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    aws.client("iam", HERE).update_assume_role_policy(RoleName=role.name, PolicyDocument=document(trusts))
    here.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    here.put_targets(Rule=name, Targets=[{"Id": "bus", "Arn": bus, "RoleArn": role.arn}])

    def sent(before: int) -> Any:
        here.put_events(Entries=[{"Source": name, "DetailType": "t", "Detail": "{}"}])
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [delivery for delivery in aws.deliveries() if delivery.rule == name]
            if len(found) > before:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError("nothing was delivered")

    first = sent(0)
    assert (first.status, NO_RESOURCE_POLICY + "events:PutEvents action" in first.reason) == ("failed", True)
    policy = to(f"arn:aws:iam::{HERE}:root", "events:PutEvents", bus)
    there.put_permission(EventBusName=name, Policy=document(policy))
    assert sent(1).status == "delivered"
    grant, trusted = noted(aws, bus, "In"), noted(aws, role.arn, "Rules")
    assert grant is not None and trusted is not None
    assert (grant.policy, grant.alone) == ("event bus policy", 1)
    assert (trusted.policy, trusted.alone > 0) == ("trust policy", True)
    role.let(allow("events:PutEvents", "arn:aws:events:*:*:event-bus/other"))
    last = sent(2)
    assert (last.status, NO_IDENTITY_POLICY + "events:PutEvents action" in last.reason) == ("failed", True)


def statements(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def test_a_model_package_of_another_account_takes_both_policies(aws: EmbeddedAws) -> None:
    owner, group = aws.client("sagemaker", HERE), f"group-{next(numbers)}"
    arn = owner.create_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupArn"]
    package = arn.replace(":model-package-group/", ":model-package/") + "/1"
    own = allow("sagemaker:CreateModel", f"arn:aws:sagemaker:*:{THERE}:model/*")
    role = Role(aws, own, allow("sagemaker:CreateModel", package), account=THERE)

    def create() -> Any:
        return role.client("sagemaker").create_model(
            ModelName="m", ExecutionRoleArn=role.arn, PrimaryContainer={"ModelPackageName": package}
        )

    assert NO_RESOURCE_POLICY + "sagemaker:CreateModel action" in refusal(create)[1]
    policy = document(to(f"arn:aws:iam::{THERE}:root", "sagemaker:CreateModel", f"{package.rpartition('/')[0]}/*"))
    owner.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=policy)
    assert "iam:PassRole" in refusal(create)[1]  # which is asked when both have allowed it
    grant = noted(aws, arn, "In")
    assert grant is not None
    assert (grant.policy, grant.alone) == ("model package group policy", 1)
    role.let(own)
    assert NO_IDENTITY_POLICY + "sagemaker:CreateModel action" in refusal(create)[1]


def test_a_service_that_a_role_does_not_trust_is_on_record(aws: EmbeddedAws) -> None:
    role = Role(aws, account=HERE)  # which trusts its account, and no service
    events = aws.client("events", HERE)
    events.put_rule(Name=role.name, EventPattern=json.dumps({"source": ["x"]}))
    target = {"Id": "t", "Arn": f"arn:aws:codepipeline:{REGION}:{HERE}:p", "RoleArn": role.arn}
    with pytest.raises(ClientError, match="cannot be assumed by principal"):
        events.put_targets(Rule=role.name, Targets=[target])
    last = aws.refusals()[-1]
    assert (last.principal, last.action, last.resource) == ("events.amazonaws.com", "sts:AssumeRole", role.arn)
    assert last.reason == "(the role's trust policy does not allow it)"


# --- of our templates: what denies


def opens(sid: str, s3: Any, bucket: str) -> Any:
    """What the statement of this name denies, and none of the others."""
    key = f"seed-code/{sid}-{next(numbers)}"
    tagged = {"Bucket": bucket, "Key": key, "Body": b"1", "IfNoneMatch": "*", "Tagging": TAG}
    if sid == "WriteOnce":
        return s3.put_object(**{name: value for name, value in tagged.items() if name != "IfNoneMatch"})
    if sid == "AlwaysTagged":
        return s3.put_object(**{**tagged, "Tagging": "other=true"})
    s3.put_object(**tagged)
    return (s3.delete_object_tagging if sid == "NeverUntagged" else s3.delete_object)(Bucket=bucket, Key=key)


ONLY_HERE = ("WriteOnce", "AlwaysTagged", "NeverUntagged", "KeptForOldVersions")


@pytest.fixture(scope="module")
def seed_bucket(aws: EmbeddedAws) -> str:
    """That of a catalog, as its template makes it."""
    studio = {"PrincipalArn1": Role(aws, account=HERE).arn}
    cloudformation = aws.client("cloudformation", HERE)
    return deploy(cloudformation, "catalog", TEMPLATES / "catalog.yaml", studio, lambda _: None)["SeedBucket"]


@pytest.mark.parametrize("sid", ONLY_HERE)
def test_what_the_seed_bucket_denies_is_denied_by_that_statement(aws: EmbeddedAws, seed_bucket: str, sid: str) -> None:
    role, owner = Role(aws, allow("s3:*"), account=HERE), aws.client("s3", HERE)
    assert refusal(lambda: opens(sid, role.client("s3"), seed_bucket))[1].endswith(DENIED)
    policy = owner.get_bucket_policy(Bucket=seed_bucket)["Policy"]
    left = [statement for statement in statements(policy) if statement["Sid"] != sid]
    assert len(left) == len(statements(policy)) - 1
    owner.put_bucket_policy(Bucket=seed_bucket, Policy=document(*left))
    try:
        assert opens(sid, role.client("s3"), seed_bucket)
    finally:
        owner.put_bucket_policy(Bucket=seed_bucket, Policy=policy)


READERS = {"DefaultBucketReaderId1": THERE}
MAIL = {"ApprovalEmail": "people@example.com"}
# Template, what it is given, a policy of it, and what somebody without TLS would do. Here every call counts as made
# over TLS, so that the policies are asked as they are.
WITHOUT_TLS = [
    ("catalog.yaml", {}, "SeedBucketPolicy", "s3:GetObject"),
    ("project.yaml", PROJECT, "ArtifactBucketPolicy", "s3:GetObject"),
    ("stored-inference.yaml", {}, "InferenceBucketPolicy", "s3:PutObject"),
    ("data-science-account.yaml", READERS, "DefaultBucketPolicy", "s3:GetObject"),
    ("project.yaml", {**PROJECT, **MAIL}, "ApprovalTopicPolicy", "sns:Publish"),
]


@pytest.mark.parametrize(("template", "given", "name", "action"), WITHOUT_TLS, ids=[row[2] for row in WITHOUT_TLS])
def test_who_comes_without_tls_is_denied(template: str, given: dict[str, str], name: str, action: str) -> None:
    policy = Resolved(template, **given).resources[name]["Properties"]["PolicyDocument"]
    (statement,) = [statement for statement in policy["Statement"] if statement["Sid"] == "TlsOnly"]
    resource = statement["Resource"][-1] if isinstance(statement["Resource"], list) else statement["Resource"]
    for plain in (True, False):
        context = {"aws:securetransport": str(not plain).lower()}
        asked = Asked(HERE, f"arn:aws:iam::{HERE}:role/r", action, resource.replace("/*", "/key"), context)
        assert evaluate({"Statement": [statement]}, asked).denied == plain


def test_every_statement_that_denies_has_its_test() -> None:
    found = {
        (path.name, name, statement["Sid"])
        for path in TEMPLATES.glob("*.yaml")
        for name, resource in load(path.name)["Resources"].items()
        for statement in denials(resource)
    }
    tested = {(template, name, "TlsOnly") for template, _, name, _ in WITHOUT_TLS}
    assert found == tested | {("catalog.yaml", "SeedBucketPolicy", sid) for sid in ONLY_HERE}


def denials(node: Any) -> Iterator[dict[str, Any]]:
    """The statements of whatever policies that deny."""
    if isinstance(node, dict) and node.get("Effect") == "Deny":
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from denials(child)


# --- of our templates: what no rehearsal asks


def test_stages_read_models_of_the_default_bucket_and_only_by_the_roles_that_are_named(aws: EmbeddedAws) -> None:
    bucket, s3 = f"sagemaker-{REGION}-{HERE}", aws.client("s3", HERE)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    template = TEMPLATES / "data-science-account.yaml"
    key = deploy(aws.client("cloudformation", HERE), "account", template, READERS, lambda _: None)["TrainingKeyArn"]
    s3.put_object(Bucket=bucket, Key="model", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    statement = allow(["s3:GetObject", "kms:Decrypt"])
    model, other = (Role(aws, statement, account=THERE) for _ in range(2))
    renamed(aws, model, "sagemaker-seed-model", statement)
    writer, keeper = Role(aws, allow("s3:PutObject"), account=HERE), Role(aws, allow("kms:*"), account=HERE)
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    writer.client("s3").put_object(Bucket=bucket, Key="own", Body=b"1", **encrypted)
    keeper.client("kms").disable_key_rotation(KeyId=key)
    assert model.read(bucket, "model") == b"1"
    assert NO_RESOURCE_POLICY + "s3:GetObject" in refusal(lambda: other.read(bucket, "model"))[1]
    for holder, action in ((f"arn:aws:s3:::{bucket}", "s3:GetObject"), (key, "kms:Decrypt")):
        grant = noted(aws, holder, "StagesRead")
        assert grant is not None
        assert (grant.actions, grant.alone) == ({action: 1}, 1)
    for sid, action in (
        ("ThisAccountUsesItForTheBucket", "kms:GenerateDataKey"),
        ("AccountAdministersThroughIam", "kms:DisableKeyRotation"),
    ):
        grant = noted(aws, key, sid)
        assert grant is not None
        assert (grant.actions[action], grant.alone) == (1, 1)


def renamed(aws: EmbeddedAws, role: Role, name: str, statement: dict[str, Any]) -> None:
    """Makes of ``role`` one of a name and a path as our templates have them."""
    iam = aws.client("iam", role.account)
    trust = iam.get_role(RoleName=role.name)["Role"]["AssumeRolePolicyDocument"]
    made = iam.create_role(RoleName=name, Path="/sagemaker-seed/", AssumeRolePolicyDocument=json.dumps(trust))
    role.name, role.arn = name, made["Role"]["Arn"]
    role.let(statement)
    role.key = role.assumed()
