"""Who may become whom in the embedded AWS: trust policies, what IAM takes in, and accounts of an organization."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.access.trust import of_service
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
HERE, THERE, STRANGER = "311111111111", "322222222222", "333333333333"
numbers = count()


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def trusting(principal: Any, **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role(aws: EmbeddedAws, trust: str, account: str = THERE, **more: Any) -> str:
    iam = aws.client("iam", account)
    made = iam.create_role(RoleName=f"role-{next(numbers)}", AssumeRolePolicyDocument=trust, **more)
    return str(made["Role"]["Arn"])


def assume(aws: EmbeddedAws, arn: str, who: str = HERE, **more: Any) -> str:
    answer = aws.client("sts", who).assume_role(RoleArn=arn, RoleSessionName="session", **more)
    return str(answer["Credentials"]["AccessKeyId"])


@pytest.mark.parametrize("named", ["arn:aws:iam::{}:root", "{}", "*"])
def test_an_account_that_is_trusted_may_assume(aws: EmbeddedAws, named: str) -> None:
    key = assume(aws, role(aws, trusting({"AWS": named.format(HERE)})))
    assert aws.client("sts", key).get_caller_identity()["Account"] == THERE


def test_another_account_may_not(aws: EmbeddedAws) -> None:
    arn = role(aws, trusting({"AWS": HERE}))
    code, message = refusal(lambda: assume(aws, arn, STRANGER))
    assert code == "AccessDenied"
    assert (
        f"User: arn:aws:iam::{STRANGER}:root is not authorized to perform: sts:AssumeRole on resource: {arn}" in message
    )


def test_a_role_for_a_service_is_not_for_callers(aws: EmbeddedAws) -> None:
    arn = role(aws, trusting({"Service": "codebuild.amazonaws.com"}))
    assert refusal(lambda: assume(aws, arn, THERE))[0] == "AccessDenied"


def test_a_trusted_role_may_and_its_account_may_not(aws: EmbeddedAws) -> None:
    first = role(aws, trusting({"AWS": HERE}), HERE)
    second = role(aws, trusting({"AWS": first}))
    assert refusal(lambda: assume(aws, second, HERE))[0] == "AccessDenied"
    assert assume(aws, second, assume(aws, first))


@pytest.mark.parametrize(
    ("condition", "given", "allowed"),
    [
        ({"StringEquals": {"sts:ExternalId": "ours"}}, {"ExternalId": "ours"}, True),
        ({"StringEquals": {"sts:ExternalId": "ours"}}, {"ExternalId": "theirs"}, False),
        ({"StringEquals": {"sts:ExternalId": "ours"}}, {}, False),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{HERE}:*"}}, {}, True),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{HERE}:role/*"}}, {}, False),
        ({"StringLike": {"sts:RoleSessionName": "sess*"}}, {}, True),
        ({"StringEquals": {"aws:PrincipalAccount": [STRANGER, HERE]}}, {}, True),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {}, False),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}, {}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2100-01-01T00:00:00Z"}}, {}, False),  # not evaluated, so not allowed
    ],
)
def test_conditions_of_a_trust_policy(aws: EmbeddedAws, condition: Any, given: dict[str, str], allowed: bool) -> None:
    arn = role(aws, trusting({"AWS": HERE}, Condition=condition))
    if allowed:
        assert assume(aws, arn, **given)
    else:
        assert refusal(lambda: assume(aws, arn, **given))[0] == "AccessDenied"


def test_a_denial_wins_and_a_change_counts_at_once(aws: EmbeddedAws) -> None:
    arn = role(aws, trusting({"AWS": HERE}))
    assert assume(aws, arn)
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"},
        {"Effect": "Deny", "Principal": {"AWS": HERE}, "Action": "sts:AssumeRole"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    name = arn.rpartition("/")[2]
    aws.client("iam", THERE).update_assume_role_policy(RoleName=name, PolicyDocument=document)
    code, message = refusal(lambda: assume(aws, arn))
    assert (code, "denies it" in message) == ("AccessDenied", True)
    assert assume(aws, arn, STRANGER)


OWN_ACCOUNT = {"aws:SourceAccount": THERE}
PIPELINE = f"arn:aws:codepipeline:{REGION}:{THERE}:ours"


@pytest.mark.parametrize(
    ("service", "condition", "source", "allowed"),
    [
        ("codebuild", {}, "", True),
        ("codebuild", {"StringEquals": OWN_ACCOUNT}, "", True),
        ("codebuild", {"StringEquals": {"aws:SourceAccount": HERE}}, "", False),
        # Nobody says whether Service Catalog sends the key: the trust must hold if it does, and if it does not.
        ("servicecatalog", {"StringEquals": OWN_ACCOUNT}, "", False),
        ("servicecatalog", {"StringEqualsIfExists": OWN_ACCOUNT}, "", True),
        ("servicecatalog", {"StringEqualsIfExists": {"aws:SourceAccount": HERE}}, "", False),
        ("codepipeline", {"ArnLike": {"aws:SourceArn": "arn:aws:codepipeline:*:*:ours"}}, PIPELINE, True),
        ("codepipeline", {"ArnLike": {"aws:SourceArn": "arn:aws:codepipeline:*:*:theirs"}}, PIPELINE, False),
        ("codepipeline", {"StringEquals": OWN_ACCOUNT}, PIPELINE, True),
    ],
)
def test_what_services_say_of_whom_they_act_for(service: str, condition: Any, source: str, allowed: bool) -> None:
    document = trusting({"Service": f"{service}.amazonaws.com"}, Condition=condition)
    role = SimpleNamespace(account_id=THERE, assume_role_policy_document=document)
    verdict = of_service(role, f"{service}.amazonaws.com", source)
    assert (verdict.allowed and not verdict.denied) == allowed


@pytest.mark.parametrize("principal", [{"Service": "events.amazonaws.com"}, {"AWS": "*"}, {"Service": []}])
def test_a_service_that_is_not_named_is_not_trusted(principal: Any) -> None:
    role = SimpleNamespace(account_id=THERE, assume_role_policy_document=trusting(principal))
    assert not of_service(role, "codebuild.amazonaws.com", "").allowed


def test_an_embedded_aws_that_is_not_strict_asks_no_other_policies(aws: EmbeddedAws) -> None:
    key = assume(aws, role(aws, trusting({"AWS": HERE})))
    assert aws.client("kms", key).create_key()["KeyMetadata"]["Enabled"]
    assert aws.client("dynamodb", key).list_tables()["TableNames"] == []
    assert aws.grants() == []


def test_what_moto_would_forget_of_a_session_is_refused_by_name(aws: EmbeddedAws) -> None:
    arn = role(aws, trusting({"AWS": HERE}))
    code, message = refusal(lambda: assume(aws, arn, Tags=[{"Key": "team", "Value": "a"}]))
    assert (code, "AssumeRole with Tags" in message) == ("NotImplementedByEmbeddedAws", True)
    assert refusal(lambda: assume(aws, arn, DurationSeconds=7200))[0] == "ValidationError"
    assert refusal(lambda: aws.client("sts", HERE).get_session_token())[0] == "NotImplementedByEmbeddedAws"


@pytest.mark.parametrize(
    ("trust", "code", "says"),
    [
        ("{", "MalformedPolicyDocument", "Syntax errors"),
        ("{}", "MalformedPolicyDocument", ""),
        ('{"Version": "2012-10-17", "Statement": []}', "MalformedPolicyDocument", ""),
        (
            trusting({"AWS": f"arn:aws:iam::{HERE}:role/nobody"}),
            "MalformedPolicyDocument",
            f'"AWS":"arn:aws:iam::{HERE}:role/nobody"',
        ),
        (trusting({"Service": "codebuild"}), "MalformedPolicyDocument", '"SERVICE":"codebuild"'),
        (trusting({"AWS": HERE}, Resource="*"), "MalformedPolicyDocument", "Resource"),
        (trusting({"AWS": HERE}, Sid="x" * 2048), "LimitExceeded", "ACLSizePerRole: 2048"),
    ],
)
def test_a_trust_policy_that_cannot_be_is_refused(aws: EmbeddedAws, trust: str, code: str, says: str) -> None:
    found, message = refusal(lambda: role(aws, trust))
    assert (found, says in message) == (code, True), message


def test_quotas_of_policies(aws: EmbeddedAws) -> None:
    iam = aws.client("iam", THERE)
    name = role(aws, trusting({"AWS": HERE})).rpartition("/")[2]
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/" + "x" * 6000}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="one", PolicyDocument=document)
    iam.put_role_policy(RoleName=name, PolicyName="one", PolicyDocument=document)  # replaces itself
    code, message = refusal(lambda: iam.put_role_policy(RoleName=name, PolicyName="two", PolicyDocument=document))
    assert (code, message) == ("LimitExceeded", f"Maximum policy size of 10240 bytes exceeded for role {name}")
    too_big = document.replace("x" * 6000, "x" * 6144)
    code, message = refusal(lambda: iam.create_policy(PolicyName="big", PolicyDocument=too_big))
    assert (code, message) == ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")


def test_policies_of_aws_can_be_attached_and_others_must_exist(aws: EmbeddedAws) -> None:
    iam = aws.client("iam", THERE)
    name = role(aws, trusting({"AWS": HERE})).rpartition("/")[2]
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["AmazonSageMakerFullAccess"]
    wrong = "arn:aws:iam::aws:policy/NoSuchPolicyOfAws"
    assert refusal(lambda: iam.attach_role_policy(RoleName=name, PolicyArn=wrong))[0] == "NoSuchEntity"
    boundary = f"arn:aws:iam::{THERE}:policy/no-boundary"
    assert refusal(lambda: role(aws, trusting({"AWS": HERE}), PermissionsBoundary=boundary))[0] == "NoSuchEntity"
    assert role(aws, trusting({"AWS": HERE}), PermissionsBoundary="arn:aws:iam::aws:policy/PowerUserAccess")


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("nothing", "not valid JSON"),
        ("{}", "no statement"),
        (
            json.dumps(
                {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"AWS": "arn:aws:iam::311111111111:role/nobody"},
                            "Action": "kms:*",
                            "Resource": "*",
                        }
                    ]
                }
            ),
            "invalid principals",
        ),
    ],
)
def test_a_key_policy_that_cannot_be_is_refused(aws: EmbeddedAws, policy: str, says: str) -> None:
    code, message = refusal(lambda: aws.client("kms", HERE).create_key(Policy=policy))
    assert (code, says in message) == ("MalformedPolicyDocumentException", True)


def test_a_new_account_is_reached_by_its_role(aws: EmbeddedAws) -> None:
    management = "340000000001"
    organizations = aws.client("organizations", management)
    organizations.create_organization(FeatureSet="ALL")
    made = organizations.create_account(Email="staging@example.com", AccountName="staging")["CreateAccountStatus"]
    account = made["AccountId"]
    arn = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
    key = assume(aws, arn, management)
    assert aws.client("sts", key).get_caller_identity()["Account"] == account
    policies = aws.client("iam", key).list_attached_role_policies(RoleName="OrganizationAccountAccessRole")
    assert [policy["PolicyName"] for policy in policies["AttachedPolicies"]] == ["AdministratorAccess"]
    assert refusal(lambda: assume(aws, arn, STRANGER))[0] == "AccessDenied"


def test_an_account_of_a_chosen_id_joins_by_invitation(aws: EmbeddedAws) -> None:
    management, member = "340000000002", "340000000003"
    organizations = aws.client("organizations", management)
    organizations.create_organization(FeatureSet="ALL")
    invited = organizations.invite_account_to_organization(Target={"Id": member, "Type": "ACCOUNT"})["Handshake"]
    theirs = aws.client("organizations", member)
    assert refusal(theirs.describe_organization)[0] == "AWSOrganizationsNotInUseException"
    assert refusal(lambda: aws.client("organizations", STRANGER).accept_handshake(HandshakeId=invited["Id"]))[0] == (
        "HandshakeNotFoundException"
    )
    assert [h["Id"] for h in theirs.list_handshakes_for_account()["Handshakes"]] == [invited["Id"]]
    assert theirs.accept_handshake(HandshakeId=invited["Id"])["Handshake"]["State"] == "ACCEPTED"
    assert (
        refusal(lambda: theirs.accept_handshake(HandshakeId=invited["Id"]))[0] == "InvalidHandshakeTransitionException"
    )
    assert member in {account["Id"] for account in organizations.list_accounts()["Accounts"]}
    assert theirs.describe_organization()["Organization"]["MasterAccountId"] == management
    root = organizations.list_roots()["Roots"][0]["Id"]
    unit = organizations.create_organizational_unit(ParentId=root, Name="Staging")["OrganizationalUnit"]["Id"]
    organizations.move_account(AccountId=member, SourceParentId=root, DestinationParentId=unit)
    assert [a["Id"] for a in organizations.list_accounts_for_parent(ParentId=unit)["Accounts"]] == [member]


def test_delegated_administrators_and_who_may_ask(aws: EmbeddedAws) -> None:
    management = "340000000004"
    organizations = aws.client("organizations", management)
    assert refusal(organizations.list_accounts)[0] == "AWSOrganizationsNotInUseException"
    organizations.create_organization(FeatureSet="ALL")
    account = organizations.create_account(Email="a@example.com", AccountName="a")["CreateAccountStatus"]["AccountId"]
    member = aws.client("organizations", account)
    assert refusal(member.list_accounts)[0] == "AccessDeniedException"
    principal = "member.org.stacksets.cloudformation.amazonaws.com"
    organizations.register_delegated_administrator(AccountId=account, ServicePrincipal=principal)
    found = organizations.list_delegated_administrators(ServicePrincipal=principal)["DelegatedAdministrators"]
    assert [administrator["Id"] for administrator in found] == [account]
    assert {a["Id"] for a in member.list_accounts()["Accounts"]} == {management, account}, "it may read"
    create = {"Email": "b@example.com", "AccountName": "b"}
    assert refusal(lambda: member.create_account(**create))[0] == "NotImplementedByEmbeddedAws"
    wrong = {"AccountId": account, "ServicePrincipal": "nothing.amazonaws.com"}
    assert refusal(lambda: organizations.register_delegated_administrator(**wrong))[0] == "InvalidInputException"
