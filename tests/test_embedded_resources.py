"""CloudFormation's providers of storage, keys, roles, logs, topics and parameters, read back through the APIs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from resource_support import STACK_TAGS, TAG, Stack, allowing, as_map, error_of, failure, trust
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.stacks.providers import PROVIDERS
from sagemaker_seed.templates import schemas
from support import REGION

TAGS = {"team": "ml", "purpose": "test"}
BUCKET, POLICY, KEY, ALIAS = "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::KMS::Key", "AWS::KMS::Alias"
ROLE, MANAGED, GROUP = "AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::Logs::LogGroup"
TOPIC, SUBSCRIPTION, PARAMETER = "AWS::SNS::Topic", "AWS::SNS::Subscription", "AWS::SSM::Parameter"


@pytest.fixture
def stack(aws: EmbeddedAws) -> Stack:
    return Stack(aws, REGION)


# --- names and schemas


def test_every_provider_is_of_a_type_that_cloudformation_has() -> None:
    for kind, provider in PROVIDERS.items():
        schema = schemas.resource_schema(kind, REGION)
        assert (provider.replaces or frozenset()) <= schema.properties, kind
    with pytest.raises(schemas.UnknownType, match="AWS::S3::Buckets"):
        schemas.resource_schema("AWS::S3::Buckets", REGION)


def test_what_replaces() -> None:
    assert schemas.replacing(GROUP, REGION) == {"LogGroupName"}
    assert schemas.replacing(KEY, REGION) == frozenset()
    assert "EndpointConfigName" not in schemas.replacing("AWS::SageMaker::Endpoint", REGION)


def test_misnamed_properties_are_found_before_anything_is_evaluated() -> None:
    schema = schemas.resource_schema(BUCKET, REGION)
    template = {
        "BucketName": {"Fn::Sub": "x-${AWS::Region}"},
        "Acl": "x",
        "VersioningConfiguration": {"Fn::If": ["A", {"Status": "Enabled"}, {"Ref": "AWS::NoValue"}]},
        "LifecycleConfiguration": {"Rules": [{"Id": "a", "Status": "Enabled", "Days": 3}, {"Ref": "Rule"}]},
        "BucketEncryption": {},
    }
    assert schema.misnamed(template) == [
        "#: extraneous key [Acl] is not permitted",
        "#/LifecycleConfiguration/Rules/0: extraneous key [Days] is not permitted",
        "#/BucketEncryption: required key [ServerSideEncryptionConfiguration] not found",
    ]


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        (BUCKET, {"Foo": 1}, "#: extraneous key [Foo] is not permitted"),
        (BUCKET, {"VersioningConfiguration": {"Status": "On"}}, "#/VersioningConfiguration/Status: On is not a valid"),
        (BUCKET, {"Tags": "a"}, "#/Tags: expected type: JSONArray, found: String"),
        (BUCKET, {"Arn": "arn:aws:s3:::x"}, "#/Arn: read-only properties are not permitted"),
        (GROUP, {"RetentionInDays": 8}, "#/RetentionInDays: 8 is not a valid enum value"),
        (GROUP, {"RetentionInDays": "many"}, "#/RetentionInDays: expected type: Integer, found: String"),
        (GROUP, {"LogGroupName": "a b"}, "#/LogGroupName: failed validation constraint for keyword [pattern]"),
        (GROUP, {"Tags": [{"Key": "a" * 129, "Value": ""}]}, "#/Tags/0/Key: failed validation constraint"),
        (ALIAS, {"AliasName": "alias/a"}, "#: required key [TargetKeyId] not found"),
        (KEY, {"EnableKeyRotation": "maybe"}, "#/EnableKeyRotation: expected type: Boolean, found: String"),
        (KEY, {"PendingWindowInDays": 31}, "#/PendingWindowInDays: failed validation constraint for keyword [maximum]"),
        (ROLE, {}, "#: required key [AssumeRolePolicyDocument] not found"),
    ],
)
def test_properties_that_do_not_fit_are_refused_by_name(
    stack: Stack, kind: str, given: dict[str, Any], problem: str
) -> None:
    reason = failure(stack.create, kind, **given)
    assert reason.startswith(f"Properties validation failed for resource My{kind.rpartition('::')[2]} with message:\n")
    assert problem in reason


def test_what_is_not_honoured_is_refused_by_name(stack: Stack) -> None:
    notified = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    reason = failure(stack.create, BUCKET, NotificationConfiguration=notified, BucketName="not-made")
    assert reason == "The embedded AWS does not honour this of AWS::S3::Bucket: NotificationConfiguration"
    reason = failure(stack.create, BUCKET, AccessControl="PublicRead", BucketName="not-made")
    assert "AccessControl PublicRead" in reason
    assert stack.client("s3").list_buckets()["Buckets"] == []


# --- S3


def test_a_bucket_with_everything(stack: Stack) -> None:
    s3, key = stack.client("s3"), stack.create(KEY).attributes["Arn"]
    given: dict[str, Any] = {
        "BucketName": f"everything-{stack.account}",
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    "BucketKeyEnabled": "true",
                    "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
                }
            ]
        },
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "IgnorePublicAcls": True},
        "VersioningConfiguration": {"Status": "Enabled"},
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "old",
                    "Status": "Enabled",
                    "NoncurrentVersionExpiration": {"NoncurrentDays": "90"},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                },
                {
                    "Id": "tmp",
                    "Status": "Enabled",
                    "Prefix": "tmp/",
                    "TagFilters": [{"Key": "a", "Value": "b"}],
                    "ExpirationInDays": 3,
                    "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 1}],
                },
            ]
        },
        "CorsConfiguration": {
            "CorsRules": [{"Id": "c", "AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAge": 5}]
        },
        "Tags": TAG,
    }
    made = stack.create(BUCKET, **given)
    name = given["BucketName"]
    assert (made.physical_id, made.ref) == (name, None)
    assert made.attributes["Arn"] == f"arn:aws:s3:::{name}"
    assert made.attributes["RegionalDomainName"] == f"{name}.s3.{REGION}.amazonaws.com"
    [rule] = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert rule["BucketKeyEnabled"] is True
    assert s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == given["OwnershipControls"]
    assert s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": False,
    }
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    old, tmp = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert old["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert old["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert tmp["Filter"] == {"And": {"Prefix": "tmp/", "Tags": [{"Key": "a", "Value": "b"}]}}
    assert (tmp["Expiration"], tmp["Transitions"]) == ({"Days": 3}, [{"Days": 1, "StorageClass": "GLACIER"}])
    [cors] = s3.get_bucket_cors(Bucket=name)["CORSRules"]
    assert (cors["AllowedMethods"], cors["MaxAgeSeconds"]) == (["GET"], 5)
    assert as_map(s3.get_bucket_tagging(Bucket=name)["TagSet"]) == TAGS

    stack.update(BUCKET, made, given, {"BucketName": name, "Tags": [{"Key": "new", "Value": "1"}]})
    assert as_map(s3.get_bucket_tagging(Bucket=name)["TagSet"]) == {"team": "ml", "new": "1"}
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Suspended"
    assert error_of(s3.get_bucket_lifecycle_configuration, Bucket=name) == "NoSuchLifecycleConfiguration"
    assert error_of(s3.get_bucket_cors, Bucket=name) == "NoSuchCORSConfiguration"
    assert error_of(s3.get_public_access_block, Bucket=name) == "NoSuchPublicAccessBlockConfiguration"

    assert failure(stack.create, BUCKET, BucketName=name) == f"{name} already exists"
    s3.put_object(Bucket=name, Key="k", Body=b"")
    assert error_of(stack.delete, BUCKET, made) == "BucketNotEmpty"
    for version in s3.list_object_versions(Bucket=name)["Versions"]:
        s3.delete_object(Bucket=name, Key="k", VersionId=version["VersionId"])
    stack.delete(BUCKET, made)
    assert s3.list_buckets()["Buckets"] == []


def test_a_bucket_of_another_account_already_exists(stack: Stack, aws: EmbeddedAws) -> None:
    made = stack.create(BUCKET)
    assert re.fullmatch(r"a-stack-mybucket-[a-z0-9]{12}", made.physical_id)
    other = Stack(aws, REGION)
    assert failure(other.create, BUCKET, BucketName=made.physical_id) == f"{made.physical_id} already exists"


def test_a_bucket_that_fails_half_way_is_not_left(stack: Stack) -> None:
    with pytest.raises(Exception, match="LifecycleConfiguration Transition"):
        stack.create(
            BUCKET,
            BucketName=f"half-{stack.account}",
            LifecycleConfiguration={
                "Rules": [{"Id": str(n), "Status": "Enabled", "ExpirationInDays": 1} for n in range(2)],
                "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
            },
        )
    assert stack.client("s3").list_buckets()["Buckets"] == []


def test_a_bucket_policy(stack: Stack) -> None:
    s3, bucket = stack.client("s3"), stack.create(BUCKET).physical_id
    arn = f"arn:aws:s3:::{bucket}"
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"{arn}/no/*"}
    given = {"Bucket": bucket, "PolicyDocument": {"Version": "2012-10-17", "Statement": [denial]}}
    made = stack.create(POLICY, **given)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == given["PolicyDocument"]
    assert error_of(s3.put_object, Bucket=bucket, Key="no/1", Body=b"") == "AccessDenied"
    assert failure(stack.create, POLICY, **given) == f"The bucket policy already exists on bucket {bucket}."
    changed = {
        **given,
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [{**denial, "Resource": f"{arn}/x/*"}]},
    }
    stack.update(POLICY, made, given, changed)
    s3.put_object(Bucket=bucket, Key="no/1", Body=b"")
    stack.delete(POLICY, made, **changed)
    assert error_of(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    assert error_of(stack.create, POLICY, **{**given, "Bucket": "no-such-bucket"}) == "NoSuchBucket"


# --- KMS


def test_a_key_and_its_alias(stack: Stack) -> None:
    kms = stack.client("kms")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{stack.account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    given: dict[str, Any] = {
        "Description": "one",
        "EnableKeyRotation": "true",
        "PendingWindowInDays": 8,
        "KeyPolicy": policy,
        "Tags": TAG,
    }
    made = stack.create(KEY, **given)
    key = kms.describe_key(KeyId=made.physical_id)["KeyMetadata"]
    assert (key["Arn"], key["KeyId"], key["Description"]) == (made.attributes["Arn"], made.physical_id, "one")
    assert kms.get_key_rotation_status(KeyId=made.physical_id)["KeyRotationEnabled"] is True
    assert json.loads(kms.get_key_policy(KeyId=made.physical_id, PolicyName="default")["Policy"]) == policy
    assert as_map(kms.list_resource_tags(KeyId=made.physical_id)["Tags"]) == TAGS

    policy2 = {**policy, "Id": "second"}
    new = {"Description": "two", "Enabled": False, "KeyPolicy": policy2, "PendingWindowInDays": 8}
    stack.update(KEY, made, given, new)
    key = kms.describe_key(KeyId=made.physical_id)["KeyMetadata"]
    assert (key["Description"], key["Enabled"]) == ("two", False)
    assert json.loads(kms.get_key_policy(KeyId=made.physical_id, PolicyName="default")["Policy"]) == policy2
    assert as_map(kms.list_resource_tags(KeyId=made.physical_id)["Tags"]) == {"team": "ml"}
    stack.update(KEY, made, new, given)
    assert kms.describe_key(KeyId=made.physical_id)["KeyMetadata"]["Enabled"] is True
    assert kms.get_key_rotation_status(KeyId=made.physical_id)["KeyRotationEnabled"] is True
    assert "KeySpec" in failure(stack.update, KEY, made, given, {**given, "KeySpec": "RSA_2048"})

    aliased = {"AliasName": "alias/of-a-key", "TargetKeyId": made.physical_id}
    alias = stack.create(ALIAS, **aliased)
    assert kms.describe_key(KeyId="alias/of-a-key")["KeyMetadata"]["KeyId"] == made.physical_id
    assert error_of(stack.create, ALIAS, **aliased) == "AlreadyExistsException"
    other = stack.create(KEY).physical_id
    stack.update(ALIAS, alias, aliased, {**aliased, "TargetKeyId": other})
    assert kms.describe_key(KeyId="alias/of-a-key")["KeyMetadata"]["KeyId"] == other
    stack.delete(ALIAS, alias, **aliased)
    stack.delete(KEY, made, **given)
    key = kms.describe_key(KeyId=made.physical_id)["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"
    assert 7 <= (key["DeletionDate"] - key["CreationDate"]).days <= 8


# --- IAM


def test_a_role_with_everything(stack: Stack) -> None:
    iam = stack.client("iam")
    bound = stack.create(MANAGED, ManagedPolicyName="bound", PolicyDocument=allowing("*")).physical_id
    managed = stack.create(MANAGED, ManagedPolicyName="managed", PolicyDocument=allowing("s3:*")).physical_id
    given: dict[str, Any] = {
        "RoleName": "everything",
        "Path": "/team/",
        "Description": "one",
        "MaxSessionDuration": "7200",
        "PermissionsBoundary": bound,
        "AssumeRolePolicyDocument": trust("codebuild.amazonaws.com"),
        "ManagedPolicyArns": [managed],
        "Policies": [{"PolicyName": name, "PolicyDocument": allowing("s3:GetObject")} for name in ("a", "b")],
        "Tags": TAG,
    }
    made = stack.create(ROLE, **given)
    role = iam.get_role(RoleName="everything")["Role"]
    assert made.physical_id == "everything"
    assert made.attributes == {"Arn": role["Arn"], "RoleId": role["RoleId"]}
    assert role["Arn"] == f"arn:aws:iam::{stack.account}:role/team/everything"
    assert (role["Description"], role["MaxSessionDuration"]) == ("one", 7200)
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == bound
    assert role["AssumeRolePolicyDocument"] == given["AssumeRolePolicyDocument"]
    assert as_map(iam.list_role_tags(RoleName="everything")["Tags"]) == TAGS
    attached = iam.list_attached_role_policies(RoleName="everything")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [managed]
    assert iam.list_role_policies(RoleName="everything")["PolicyNames"] == ["a", "b"]
    inline = iam.get_role_policy(RoleName="everything", PolicyName="a")["PolicyDocument"]
    assert inline == allowing("s3:GetObject")

    new = {
        "RoleName": "everything",
        "Path": "/team/",
        "AssumeRolePolicyDocument": trust("events.amazonaws.com"),
        "ManagedPolicyArns": [bound],
        "Policies": [{"PolicyName": "b", "PolicyDocument": allowing("s3:PutObject")}],
    }
    stack.update(ROLE, made, given, new)
    role = iam.get_role(RoleName="everything")["Role"]
    assert (role.get("Description", ""), role["MaxSessionDuration"]) == ("", 3600)
    assert "PermissionsBoundary" not in role
    assert role["AssumeRolePolicyDocument"] == new["AssumeRolePolicyDocument"]
    assert as_map(iam.list_role_tags(RoleName="everything")["Tags"]) == {"team": "ml"}
    attached = iam.list_attached_role_policies(RoleName="everything")["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [bound]
    assert iam.list_role_policies(RoleName="everything")["PolicyNames"] == ["b"]
    inline = iam.get_role_policy(RoleName="everything", PolicyName="b")["PolicyDocument"]
    assert inline == allowing("s3:PutObject")
    assert error_of(stack.create, ROLE, **given) == "EntityAlreadyExists"
    stack.delete(ROLE, made, **new)
    assert error_of(iam.get_role, RoleName="everything") == "NoSuchEntity"


def test_a_role_that_fails_half_way_is_not_left(stack: Stack) -> None:
    missing = f"arn:aws:iam::{stack.account}:policy/no-such-policy"
    given = {"AssumeRolePolicyDocument": trust("a.amazonaws.com"), "ManagedPolicyArns": [missing], "RoleName": "half"}
    assert error_of(stack.create, ROLE, **given) == "NoSuchEntity"
    assert error_of(stack.client("iam").get_role, RoleName="half") == "NoSuchEntity"


def test_what_cannot_be_taken_away_again_is_told(stack: Stack) -> None:
    def denied(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no DeleteRole"}}, "DeleteRole")

    stack.client("iam").delete_role = denied
    missing = f"arn:aws:iam::{stack.account}:policy/no-such-policy"
    reason = failure(
        stack.create, ROLE, AssumeRolePolicyDocument=trust("a.amazonaws.com"), ManagedPolicyArns=[missing], RoleName="r"
    )
    assert "NoSuchEntity" in reason
    assert "What was made already is left behind:" in reason
    assert "no DeleteRole" in reason


def test_a_policy_of_one_role(stack: Stack) -> None:
    iam = stack.client("iam")
    stack.role("has-policy")
    given = {"RoleName": "has-policy", "PolicyName": "launch", "PolicyDocument": allowing("s3:*")}
    made = stack.create("AWS::IAM::RolePolicy", **given)
    assert made.physical_id == "launch|has-policy"
    assert iam.get_role_policy(RoleName="has-policy", PolicyName="launch")["PolicyDocument"] == allowing("s3:*")
    new = {**given, "PolicyDocument": json.dumps(allowing("kms:*"))}
    stack.update("AWS::IAM::RolePolicy", made, given, new)
    assert iam.get_role_policy(RoleName="has-policy", PolicyName="launch")["PolicyDocument"] == allowing("kms:*")
    stack.delete("AWS::IAM::RolePolicy", made, **new)
    assert iam.list_role_policies(RoleName="has-policy")["PolicyNames"] == []
    assert error_of(stack.create, "AWS::IAM::RolePolicy", **{**given, "RoleName": "nobody"}) == "NoSuchEntity"


def test_a_policy_of_several_roles(stack: Stack) -> None:
    iam, kind = stack.client("iam"), "AWS::IAM::Policy"
    for name in ("one", "two"):
        stack.role(name)
    given = {"PolicyName": "p", "PolicyDocument": allowing("s3:*"), "Roles": ["one"]}
    made = stack.create(kind, **given)
    assert re.fullmatch(r"a-stack-MyPolicy-[A-Z0-9]{12}", made.physical_id)
    new = {"PolicyName": "q", "PolicyDocument": allowing("kms:*"), "Roles": ["one", "two"]}
    stack.update(kind, made, given, new)
    for name in ("one", "two"):
        assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["q"]
    stack.update(kind, made, new, {**new, "Roles": ["two"]})
    assert iam.list_role_policies(RoleName="one")["PolicyNames"] == []
    stack.delete(kind, made, **new)
    assert iam.list_role_policies(RoleName="two")["PolicyNames"] == []
    assert error_of(stack.create, kind, **{**given, "Roles": ["two", "nobody"]}) == "NoSuchEntity"
    assert iam.list_role_policies(RoleName="two")["PolicyNames"] == []


def test_a_managed_policy(stack: Stack) -> None:
    iam = stack.client("iam")
    for name in ("first", "second"):
        stack.role(name)
    given = {"Path": "/team/", "Description": "d", "PolicyDocument": allowing("s3:*"), "Roles": ["first"]}
    made = stack.create(MANAGED, **given)
    arn = made.physical_id
    assert re.fullmatch(rf"arn:aws:iam::{stack.account}:policy/team/a-stack-MyManagedPolicy-[A-Z0-9]{{12}}", arn)
    assert made.attributes["PolicyArn"] == arn
    assert iam.get_policy(PolicyArn=arn)["Policy"]["Description"] == "d"
    document, old = allowing("s3:*"), given
    for number in range(6):  # a policy has five versions at most
        document = allowing(f"s3:Get{number}")
        new = {**given, "PolicyDocument": document, "Roles": ["second"]}
        made = stack.update(MANAGED, made, old, new)
        old = new
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    assert made.attributes["DefaultVersionId"] == version == "v7"
    assert iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"] == document
    assert iam.list_attached_role_policies(RoleName="first")["AttachedPolicies"] == []
    assert iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"][0]["RoleName"] == "second"
    stack.delete(MANAGED, made, **old)
    assert error_of(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"


def test_an_instance_profile(stack: Stack) -> None:
    iam, kind = stack.client("iam"), "AWS::IAM::InstanceProfile"
    for name in ("in", "out"):
        stack.role(name)
    made = stack.create(kind, InstanceProfileName="profile", Roles=["in"])
    stack.update(
        kind,
        made,
        {"InstanceProfileName": "profile", "Roles": ["in"]},
        {"InstanceProfileName": "profile", "Roles": ["out"]},
    )
    profile = iam.get_instance_profile(InstanceProfileName="profile")["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == ["out"]
    assert made.attributes["Arn"] == profile["Arn"]
    stack.delete(kind, made)
    assert error_of(iam.get_instance_profile, InstanceProfileName="profile") == "NoSuchEntity"


# --- logs


def test_a_log_group(stack: Stack) -> None:
    logs, key = stack.client("logs"), stack.create(KEY).attributes["Arn"]
    given: dict[str, Any] = {"LogGroupName": "/a/group", "RetentionInDays": "90", "KmsKeyId": key, "Tags": TAG}
    made = stack.create(GROUP, **given)
    arn = f"arn:aws:logs:{REGION}:{stack.account}:log-group:/a/group"
    assert (made.physical_id, made.attributes["Arn"]) == ("/a/group", f"{arn}:*")

    def group() -> dict[str, Any]:
        [found] = logs.describe_log_groups(logGroupNamePrefix="/a/group")["logGroups"]
        return dict(found)

    assert (group()["retentionInDays"], group()["kmsKeyId"]) == (90, key)
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == TAGS
    assert error_of(stack.create, GROUP, **given) == "ResourceAlreadyExistsException"
    stack.update(GROUP, made, given, {"LogGroupName": "/a/group", "Tags": [{"Key": "purpose", "Value": "2"}]})
    assert "retentionInDays" not in group()
    assert "kmsKeyId" not in group()
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "ml", "purpose": "2"}
    stack.delete(GROUP, made)
    assert logs.describe_log_groups(logGroupNamePrefix="/a/group")["logGroups"] == []


# --- topics


def test_a_topic_its_policy_and_its_subscriptions(stack: Stack) -> None:
    sns, sqs = stack.client("sns"), stack.client("sqs")
    queue = sqs.get_queue_attributes(QueueUrl=sqs.create_queue(QueueName="q")["QueueUrl"], AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    given: dict[str, Any] = {
        "TopicName": "news",
        "DisplayName": "News",
        "Subscription": [{"Protocol": "sqs", "Endpoint": queue}],
        "Tags": TAG,
    }
    made = stack.create(TOPIC, **given)
    arn = f"arn:aws:sns:{REGION}:{stack.account}:news"
    assert (made.physical_id, made.attributes["TopicName"]) == (arn, "news")
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "News"
    [subscribed] = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert subscribed["Endpoint"] == queue
    assert as_map(sns.list_tags_for_resource(ResourceArn=arn)["Tags"]) == TAGS
    assert failure(stack.create, TOPIC, **given) == "news already exists"

    stack.update(TOPIC, made, given, {"TopicName": "news", "DisplayName": "Old news"})
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"] == "Old news"
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []
    assert as_map(sns.list_tags_for_resource(ResourceArn=arn)["Tags"]) == {"team": "ml"}

    publish = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": arn,
            }
        ],
    }
    policy = stack.create("AWS::SNS::TopicPolicy", Topics=[arn], PolicyDocument=publish)
    assert json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"]) == publish
    stack.delete("AWS::SNS::TopicPolicy", policy, Topics=[arn], PolicyDocument=publish)
    assert json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])["Id"] == "__default_policy_ID"

    wanted = {"TopicArn": arn, "Protocol": "sqs", "Endpoint": queue, "RawMessageDelivery": True}
    subscription = stack.create(SUBSCRIPTION, **wanted)
    there = sns.get_subscription_attributes(SubscriptionArn=subscription.physical_id)["Attributes"]
    assert there["RawMessageDelivery"] == "true"
    stack.update(SUBSCRIPTION, subscription, wanted, {**wanted, "FilterPolicy": {"a": ["b"]}})
    there = sns.get_subscription_attributes(SubscriptionArn=subscription.physical_id)["Attributes"]
    assert json.loads(there["FilterPolicy"]) == {"a": ["b"]}
    stack.delete(SUBSCRIPTION, subscription, **wanted)
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []
    stack.delete(TOPIC, made)
    assert sns.list_topics()["Topics"] == []


# --- parameters


def test_a_parameter(stack: Stack) -> None:
    ssm = stack.client("ssm")
    given = {"Name": "/a/b", "Type": "String", "Value": 3, "Description": "d", "Tags": {"purpose": "test"}}
    made = stack.create(PARAMETER, **given)
    assert (made.physical_id, made.attributes["Value"], made.attributes["Type"]) == ("/a/b", "3", "String")
    assert ssm.get_parameter(Name="/a/b")["Parameter"]["Value"] == "3"
    assert ssm.get_parameter(Name="/a/b")["Parameter"]["ARN"] == made.attributes["Arn"]
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/b")["TagList"]
    assert as_map(tags) == TAGS
    assert error_of(stack.create, PARAMETER, **given) == "ParameterAlreadyExists"
    made = stack.update(PARAMETER, made, given, {"Name": "/a/b", "Type": "StringList", "Value": "a,b"})
    assert made.attributes["Value"] == "a,b"
    assert ssm.get_parameter(Name="/a/b")["Parameter"]["Value"] == "a,b"
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/b")["TagList"]
    assert as_map(tags) == {"team": "ml"}
    stack.delete(PARAMETER, made)
    assert error_of(ssm.get_parameter, Name="/a/b") == "ParameterNotFound"


def test_names_are_cut_to_fit(aws: EmbeddedAws) -> None:
    stack = Stack(aws, REGION, tags=STACK_TAGS)
    kind = ROLE
    long = stack.context(kind).__class__(
        **{**stack.context(kind).__dict__, "stack_name": "s" * 100, "logical_id": "L" * 100}
    )
    made = PROVIDERS[kind].create(long, {"AssumeRolePolicyDocument": trust("a.amazonaws.com")})
    assert re.fullmatch(r"s{25}-L{25}-[A-Z0-9]{12}", made.physical_id)
