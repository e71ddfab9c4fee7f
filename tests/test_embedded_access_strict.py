"""A strict embedded AWS: what a role or a user does must be allowed by policies, or fails with AWS's own sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
HERE, THERE = "411111111111", "422222222222"
KEYS = f"arn:aws:kms:{REGION}:{HERE}:key/"
numbers = count()
Policy = dict[str, Any]


@pytest.fixture(scope="module")
def aws(strict_aws: EmbeddedAws) -> EmbeddedAws:
    return strict_aws


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> Policy:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str, resource: str = "*", **more: Any) -> Policy:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def document(*statements: Policy) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Role:
    """A role that the root of an account can assume, with a policy."""

    def __init__(self, aws: EmbeddedAws, *statements: Policy, account: str = HERE, **more: Any) -> None:
        self.aws, self.account, self.name = aws, account, f"role-{next(numbers)}"
        trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
        iam = aws.client("iam", account)
        made = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=document(trust), Path="/team/", **more)
        self.arn: str = made["Role"]["Arn"]
        self.session = f"arn:aws:sts::{account}:assumed-role/{self.name}/work"
        if statements:
            self.let(*statements)
        self.key = self.assumed()

    def let(self, *statements: Policy) -> None:
        iam = self.aws.client("iam", self.account)
        iam.put_role_policy(RoleName=self.name, PolicyName="inline", PolicyDocument=document(*statements))

    def assumed(self, **more: Any) -> str:
        sts = self.aws.client("sts", self.account)
        return str(sts.assume_role(RoleArn=self.arn, RoleSessionName="work", **more)["Credentials"]["AccessKeyId"])

    def client(self, service: str) -> Any:
        return self.aws.client(service, self.key)

    def read(self, bucket: str, key: str = "a") -> bytes:
        return bytes(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def test_the_root_may_do_everything_and_a_role_nothing_by_itself(aws: EmbeddedAws) -> None:
    assert aws.client("kms", HERE).create_key()["KeyMetadata"]["Arn"].startswith(KEYS)
    role = Role(aws)
    assert refusal(role.client("kms").create_key) == (
        "AccessDeniedException",
        f"User: {role.session} is not authorized to perform: kms:CreateKey on resource: * "
        "because no identity-based policy allows the kms:CreateKey action",
    )
    assert role.client("sts").get_caller_identity()["Arn"] == role.session  # which needs no permission


def test_a_policy_allows_its_actions_on_its_resources_from_the_next_call_on(aws: EmbeddedAws) -> None:
    role = Role(aws)
    put = partial(role.client("ssm").put_parameter, Value="1", Type="String")
    assert refusal(partial(put, Name="/ours/a"))[0] == "AccessDeniedException"
    role.let(allow("ssm:Put*", f"arn:aws:ssm:{REGION}:{HERE}:parameter/ours/*"))
    assert put(Name="/ours/a")["Version"] == 1
    code, message = refusal(partial(put, Name="/theirs/a"))
    assert f"ssm:PutParameter on resource: arn:aws:ssm:{REGION}:{HERE}:parameter/theirs/a because" in message
    assert refusal(lambda: role.client("ssm").get_parameter(Name="/ours/a"))[0] == code == "AccessDeniedException"


def test_a_denial_wins(aws: EmbeddedAws) -> None:
    role = Role(aws, allow("logs:*"), deny("logs:DeleteLogGroup"))
    role.client("logs").create_log_group(logGroupName="kept")
    _, message = refusal(lambda: role.client("logs").delete_log_group(logGroupName="kept"))
    assert message.endswith("with an explicit deny in an identity-based policy")


@pytest.mark.parametrize("kind", ["boundary", "session"])
def test_what_bounds_a_role_must_allow_too(aws: EmbeddedAws, kind: str) -> None:
    bound = document(allow("sns:ListTopics"))
    if kind == "boundary":
        name = f"boundary-{next(numbers)}"
        arn = aws.client("iam", HERE).create_policy(PolicyName=name, PolicyDocument=bound)["Policy"]["Arn"]
        role = Role(aws, allow("sns:*"), PermissionsBoundary=arn)
    else:
        role = Role(aws, allow("sns:*"))
        role.key = role.assumed(Policy=bound)
    assert role.client("sns").list_topics()["Topics"] is not None
    code, message = refusal(lambda: role.client("sns").create_topic(Name="t"))
    word = "permissions boundary" if kind == "boundary" else "session policy"
    assert (code, message.endswith(f"because no {word} allows the sns:CreateTopic action")) == (
        "AuthorizationError",
        True,
    )


@pytest.mark.slow
def test_managed_policies_of_the_account_and_of_aws_count(aws: EmbeddedAws) -> None:
    role, iam = Role(aws), aws.client("iam", HERE)
    iam.attach_role_policy(RoleName=role.name, PolicyArn="arn:aws:iam::aws:policy/AmazonSSMReadOnlyAccess")
    assert role.client("ssm").describe_parameters()["Parameters"] is not None
    made = iam.create_policy(PolicyName=f"p-{next(numbers)}", PolicyDocument=document(allow("sns:ListTopics")))
    arn = made["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role.name, PolicyArn=arn)
    assert role.client("sns").list_topics()["Topics"] is not None
    other = document(allow("sns:ListSubscriptions"))
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=other, SetAsDefault=True)
    assert refusal(role.client("sns").list_topics)[0] == "AuthorizationError"


@pytest.mark.slow
def test_a_user_has_their_own_and_their_groups_policies(aws: EmbeddedAws) -> None:
    iam, user, group = aws.client("iam", HERE), f"user-{next(numbers)}", f"group-{next(numbers)}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
    own = allow("ssm:GetParameter", "arn:aws:ssm:*:*:parameter/home/${aws:username}/*")
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document(own))
    aws.client("ssm", HERE).put_parameter(Name=f"/home/{user}/x", Value="1", Type="String")
    assert aws.client("ssm", key).get_parameter(Name=f"/home/{user}/x")["Parameter"]["Value"] == "1"
    _, message = refusal(lambda: aws.client("ssm", key).get_parameter(Name="/home/other/x"))
    assert f"User: arn:aws:iam::{HERE}:user/{user} is not authorized" in message
    assert refusal(aws.client("sns", key).list_topics)[0] == "AuthorizationError"
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="g", PolicyDocument=document(allow("sns:ListTopics")))
    iam.add_user_to_group(GroupName=group, UserName=user)
    assert aws.client("sns", key).list_topics()["Topics"] is not None


TAGGED = {"Null": {"aws:RequestTag/project": "false"}}


@pytest.mark.slow
def test_keys_are_allowed_by_the_tags_of_request_and_key(aws: EmbeddedAws) -> None:
    role = Role(
        aws,
        allow("kms:CreateKey", Condition=TAGGED),
        allow("kms:TagResource", f"{KEYS}*", Condition=TAGGED),
        allow("kms:ScheduleKeyDeletion", f"{KEYS}*", Condition={"StringEquals": {"aws:ResourceTag/project": "ours"}}),
    )
    kms = role.client("kms")
    assert refusal(kms.create_key)[0] == "AccessDeniedException"
    ours = kms.create_key(Tags=[{"TagKey": "project", "TagValue": "ours"}])["KeyMetadata"]["KeyId"]
    theirs = kms.create_key(Tags=[{"TagKey": "project", "TagValue": "theirs"}])["KeyMetadata"]["KeyId"]
    assert kms.schedule_key_deletion(KeyId=ours)["KeyId"] == ours
    _, message = refusal(lambda: kms.schedule_key_deletion(KeyId=theirs))
    assert f"kms:ScheduleKeyDeletion on resource: {KEYS}{theirs} because" in message


@pytest.mark.slow
def test_the_policy_of_a_key_must_let_the_account_in(aws: EmbeddedAws) -> None:
    role = Role(aws, allow("kms:*"))
    named = {"Effect": "Allow", "Principal": {"AWS": role.arn}, "Action": "kms:DescribeKey", "Resource": "*"}
    root = aws.client("kms", HERE)
    closed = root.create_key(Policy=document(named))["KeyMetadata"]["Arn"]
    opened = root.create_key()["KeyMetadata"]["Arn"]
    kms, stranger = role.client("kms"), Role(aws)
    assert kms.encrypt(KeyId=opened, Plaintext=b"x")["KeyId"] == opened
    assert kms.describe_key(KeyId=closed)["KeyMetadata"]["Arn"] == closed
    _, message = refusal(lambda: kms.encrypt(KeyId=closed, Plaintext=b"x"))
    assert message.endswith("because no resource-based policy allows the kms:Encrypt action")
    assert refusal(lambda: stranger.client("kms").describe_key(KeyId=opened))[0] == "AccessDeniedException"
    secret = kms.encrypt(KeyId=opened, Plaintext=b"x")["CiphertextBlob"]
    assert refusal(lambda: stranger.client("kms").decrypt(CiphertextBlob=secret))[0] == "AccessDeniedException"
    root.create_grant(KeyId=opened, GranteePrincipal=stranger.arn, Operations=["Decrypt"])
    assert stranger.client("kms").decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"


def test_a_key_by_its_alias(aws: EmbeddedAws) -> None:
    root, by_alias = aws.client("kms", HERE), {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/project-*"}}
    role = Role(aws, allow("kms:GenerateDataKey*", f"{KEYS}*", Condition=by_alias))
    key = root.create_key()["KeyMetadata"]["KeyId"]
    generate = partial(role.client("kms").generate_data_key, KeyId=key, KeySpec="AES_256")
    assert refusal(generate)[0] == "AccessDeniedException"
    root.create_alias(AliasName=f"alias/project-{next(numbers)}", TargetKeyId=key)
    assert generate()["KeyId"].endswith(key)


def bucket_of(aws: EmbeddedAws, account: str = HERE, **rule: Any) -> str:
    name, s3 = f"strict-bucket-{next(numbers)}", aws.client("s3", account)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    if rule:
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return name


def test_objects_need_permission_even_in_ones_own_bucket(aws: EmbeddedAws) -> None:
    bucket = bucket_of(aws)
    role = Role(aws, allow("s3:PutObject", f"arn:aws:s3:::{bucket}/in/*"))
    s3 = role.client("s3")
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    code, message = refusal(lambda: s3.get_object(Bucket=bucket, Key="in/a"))
    assert code == "AccessDenied"
    assert f"s3:GetObject on resource: arn:aws:s3:::{bucket}/in/a because no identity-based policy" in message
    assert refusal(lambda: s3.put_object(Bucket=bucket, Key="out/a", Body=b"1"))[0] == "AccessDenied"
    assert refusal(lambda: s3.create_bucket(Bucket="x" + bucket))[0] == "AccessDenied"
    assert "s3:ListAllMyBuckets" in refusal(s3.list_buckets)[1]


def test_an_upload_with_tags_needs_to_be_allowed_to_tag(aws: EmbeddedAws) -> None:
    bucket = bucket_of(aws)
    role = Role(aws, allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"))
    upload = partial(role.client("s3").put_object, Bucket=bucket, Key="a", Body=b"1", Tagging="a=b")
    assert "s3:PutObjectTagging" in refusal(upload)[1]
    role.let(allow(["s3:PutObject", "s3:PutObjectTagging"], f"arn:aws:s3:::{bucket}/*"))
    assert upload()["ETag"]


def test_a_copy_of_a_tagged_object_copies_the_tags(aws: EmbeddedAws) -> None:
    bucket = bucket_of(aws)
    aws.client("s3", HERE).put_object(Bucket=bucket, Key="a", Body=b"1", Tagging="a=b")
    objects = f"arn:aws:s3:::{bucket}/*"
    role = Role(aws, allow(["s3:GetObject", "s3:PutObject"], objects))
    copy = partial(role.client("s3").copy_object, Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
    assert "s3:GetObjectTagging" in refusal(copy)[1]
    role.let(allow(["s3:GetObject*", "s3:PutObject"], objects))
    assert "s3:PutObjectTagging" in refusal(copy)[1]
    role.let(allow(["s3:GetObject*", "s3:PutObject*"], objects))
    assert copy()["CopyObjectResult"]["ETag"]


def test_every_object_of_a_deletion_counts(aws: EmbeddedAws) -> None:
    bucket, s3 = bucket_of(aws), aws.client("s3", HERE)
    for key in ("mine/a", "theirs/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    role = Role(aws, allow("s3:DeleteObject", f"arn:aws:s3:::{bucket}/mine/*"))
    both = {"Objects": [{"Key": "mine/a"}, {"Key": "theirs/a"}]}
    assert f"{bucket}/theirs/a" in refusal(lambda: role.client("s3").delete_objects(Bucket=bucket, Delete=both))[1]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
    role.client("s3").delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "mine/a"}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_bucket_policy_lets_in_a_role_of_the_account_by_name(aws: EmbeddedAws) -> None:
    bucket, role = bucket_of(aws), Role(aws)
    root = aws.client("s3", HERE)
    root.put_object(Bucket=bucket, Key="a", Body=b"1")
    for principal, allowed in ((role.arn, True), (HERE, False)):
        statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": principal})
        root.put_bucket_policy(Bucket=bucket, Policy=document(statement))
        if allowed:
            assert role.client("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"
        else:  # that lets its account say so, and its account does not
            assert refusal(lambda: role.client("s3").get_object(Bucket=bucket, Key="a"))[0] == "AccessDenied"


def test_another_account_needs_both_policies(aws: EmbeddedAws) -> None:
    bucket, role = bucket_of(aws), Role(aws, account=THERE)
    root = aws.client("s3", HERE)
    root.put_object(Bucket=bucket, Key="a", Body=b"1")
    read = partial(role.read, bucket)
    role.let(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    assert "because no resource-based policy allows" in refusal(read)[1]
    condition = {"ArnEquals": {"aws:PrincipalArn": role.arn}}
    statement = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": THERE}, Condition=condition)
    root.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    assert read() == b"1"
    role.let(allow("s3:PutObject"))
    assert "because no identity-based policy allows" in refusal(read)[1]


@pytest.mark.slow
def test_an_encrypted_object_needs_its_key(aws: EmbeddedAws) -> None:
    key = aws.client("kms", HERE).create_key()["KeyMetadata"]["Arn"]
    sse = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    bucket = bucket_of(aws, ApplyServerSideEncryptionByDefault=sse, BucketKeyEnabled=True)
    role, s3 = Role(aws), aws.client("s3", HERE)
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    read = partial(role.read, bucket)
    write = partial(role.client("s3").put_object, Bucket=bucket, Key="b", Body=b"1")
    objects = allow("s3:*Object", f"arn:aws:s3:::{bucket}/*")
    role.let(objects)
    assert f"kms:Decrypt on resource: {key} because" in refusal(read)[1]
    assert f"kms:GenerateDataKey on resource: {key} because" in refusal(write)[1]
    through = {"kms:ViaService": "s3.*", "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}"}
    role.let(objects, allow("kms:*", key, Condition={"StringLike": through}))
    assert (read(), bool(write())) == (b"1", True)
    role.let(objects, allow("kms:*", key, Condition={"StringLike": {**through, "kms:ViaService": "ec2.*"}}))
    assert refusal(read)[0] == "AccessDenied"


@pytest.mark.slow
def test_a_key_policy_can_let_in_whoever_comes_through_the_bucket(aws: EmbeddedAws) -> None:
    name = f"strict-bucket-{next(numbers)}"
    through = {
        "StringEquals": {"kms:CallerAccount": HERE},
        "StringLike": {
            "kms:ViaService": f"s3.{REGION}.*",
            "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{name}/*",
        },
    }
    policy = document(
        allow("kms:*", Principal={"AWS": f"arn:aws:iam::{HERE}:root"}),
        allow(["kms:Decrypt", "kms:GenerateDataKey*"], Principal={"AWS": "*"}, Condition=through),
    )
    key = aws.client("kms", HERE).create_key(Policy=policy)["KeyMetadata"]["Arn"]
    aws.client("s3", HERE).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    role = Role(aws, allow("s3:*Object", f"arn:aws:s3:::{name}/*"))
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    role.client("s3").put_object(Bucket=name, Key="a", Body=b"1", **encrypted)
    assert role.client("s3").get_object(Bucket=name, Key="a")["Body"].read() == b"1"
    assert refusal(lambda: role.client("kms").generate_data_key(KeyId=key, KeySpec="AES_256"))[0] == (
        "AccessDeniedException"
    )


def test_launching_reads_only_what_is_tagged(aws: EmbeddedAws) -> None:
    bucket, s3 = bucket_of(aws), aws.client("s3", HERE)
    tagged = {"StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}}
    role = Role(aws, allow(["s3:GetObject", "s3:GetObjectVersion"], Condition=tagged))
    s3.put_object(Bucket=bucket, Key="published", Body=b"1", Tagging="servicecatalog:provisioning=true")
    s3.put_object(Bucket=bucket, Key="draft", Body=b"1")
    assert role.client("s3").get_object(Bucket=bucket, Key="published")["Body"].read() == b"1"
    assert refusal(lambda: role.client("s3").get_object(Bucket=bucket, Key="draft"))[0] == "AccessDenied"


@pytest.mark.slow
def test_a_role_that_is_handed_on_must_be_ones_to_hand_on(aws: EmbeddedAws) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = aws.client("iam", HERE).create_role(RoleName="runs-models", AssumeRolePolicyDocument=document(trust))
    passed = made["Role"]["Arn"]
    role = Role(aws, allow("sagemaker:CreateModel"))
    image = {"Image": "sagemaker-xgboost:3.2-0"}
    create = partial(role.client("sagemaker").create_model, ExecutionRoleArn=passed, PrimaryContainer=image)
    code, message = refusal(partial(create, ModelName="refused"))
    assert (code, f"iam:PassRole on resource: {passed} because" in message) == ("AccessDeniedException", True)
    for service, allowed in (("codebuild.amazonaws.com", False), ("sagemaker.amazonaws.com", True)):
        condition = {"StringEquals": {"iam:PassedToService": service}}
        role.let(allow("sagemaker:CreateModel"), allow("iam:PassRole", passed, Condition=condition))
        if allowed:
            assert create(ModelName="allowed")["ModelArn"].endswith("model/allowed")
        else:
            assert "iam:PassRole" in refusal(partial(create, ModelName="refused"))[1]


def test_a_role_of_another_account_cannot_be_handed_on(aws: EmbeddedAws) -> None:
    foreign = Role(aws, account=THERE)
    role = Role(aws, allow("*"))
    given = {"ModelName": "m", "ExecutionRoleArn": foreign.arn, "PrimaryContainer": {"Image": "image"}}
    _, message = refusal(lambda: role.client("sagemaker").create_model(**given))
    assert "cross-account pass role is not allowed" in message


@pytest.mark.slow
def test_assuming_a_role_of_another_account_takes_both_sides(aws: EmbeddedAws) -> None:
    role = Role(aws)
    trust = {"Effect": "Allow", "Principal": {"AWS": HERE}, "Action": "sts:AssumeRole"}
    iam = aws.client("iam", THERE)
    target = iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    assume = partial(role.client("sts").assume_role, RoleArn=target, RoleSessionName="work")
    code, message = refusal(assume)
    assert (code, f"sts:AssumeRole on resource: {target} because no identity-based" in message) == (
        "AccessDenied",
        True,
    )
    role.let(allow("sts:AssumeRole", "arn:aws:iam::*:role/deploy"))
    assert assume()["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{THERE}:assumed-role/deploy/work"


def test_names_that_aws_makes_up_are_judged_as_any_name(aws: EmbeddedAws) -> None:
    role = Role(aws, allow("iam:GetRole", f"arn:aws:iam::{HERE}:role/team/*"))
    assert role.client("iam").get_role(RoleName=role.name)["Role"]["Arn"] == role.arn  # by its path
    role.let(allow("iam:GetRole", f"arn:aws:iam::{HERE}:role/role-*"))
    assert refusal(lambda: role.client("iam").get_role(RoleName=role.name))[0] == "AccessDenied"


def test_rules_of_the_default_bus_and_of_others_have_arns_of_their_own(aws: EmbeddedAws) -> None:
    aws.client("events", HERE).create_event_bus(Name="other")
    start = f"arn:aws:events:{REGION}:{HERE}:rule"
    role = Role(aws, allow("events:PutRule", [f"{start}/mine", f"{start}/other/theirs"]))
    put = partial(role.client("events").put_rule, EventPattern='{"source": ["a"]}')
    assert put(Name="mine")["RuleArn"] == f"{start}/mine"
    assert put(Name="theirs", EventBusName="other")["RuleArn"] == f"{start}/other/theirs"
    assert f"events:PutRule on resource: {start}/theirs because" in refusal(partial(put, Name="theirs"))[1]


def test_what_cannot_be_judged_is_refused_by_name(aws: EmbeddedAws) -> None:
    role = Role(aws, allow("*"))
    code, message = refusal(role.client("dynamodb").list_tables)
    assert code == "NotJudgedByEmbeddedAws"
    assert "dynamodb:ListTables" in message and role.session in message
    assert aws.client("dynamodb", HERE).list_tables()["TableNames"] == []


def test_a_condition_that_is_not_known_never_opens_a_door(aws: EmbeddedAws) -> None:
    condition = {"IpAddress": {"aws:SourceIp": "127.0.0.1"}}
    role = Role(aws, allow("sns:ListTopics", Condition=condition))
    assert "(conditions not evaluated here: aws:SourceIp)" in refusal(role.client("sns").list_topics)[1]
    role.let(allow("sns:ListTopics"), deny("sns:ListTopics", Condition=condition))
    assert "with an explicit deny in an identity-based policy (conditions" in refusal(role.client("sns").list_topics)[1]


def test_what_allowed_something_is_on_record(aws: EmbeddedAws) -> None:
    role = Role(
        aws, allow("sns:ListTopics", Sid="Used"), allow("sns:ListSubscriptions", Sid="Unused"), allow("sns:ListT*")
    )
    role.client("sns").list_topics()
    role.client("sns").list_topics()
    refusal(role.client("ssm").describe_parameters)
    mine = [grant for grant in aws.grants() if grant.holder == role.arn]
    assert [(g.account, g.policy, g.statement, g.actions) for g in mine] == [
        (HERE, "inline", "3", {"sns:ListTopics": 2}),
        (HERE, "inline", "Used", {"sns:ListTopics": 2}),
    ]


def test_a_session_whose_role_is_gone_may_nothing(aws: EmbeddedAws) -> None:
    role = Role(aws, allow("sns:ListTopics"))
    role.client("sns").list_topics()
    iam = aws.client("iam", HERE)
    iam.delete_role_policy(RoleName=role.name, PolicyName="inline")
    iam.delete_role(RoleName=role.name)
    assert refusal(role.client("sns").list_topics)[0] == "AuthorizationError"
