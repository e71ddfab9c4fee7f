"""What accounts and those who act in them need: IAM, STS, Organizations."""

from __future__ import annotations

from ..rules import NONE, Need, Passing, Table

ROLE, USER = "@role:RoleName", "@user:UserName"
NEW_ROLE = "@new-role:RoleName"
GROUP = "arn:{partition}:iam::{account}:group/{GroupName}"
PROFILE = "arn:{partition}:iam::{account}:instance-profile/{InstanceProfileName}"
MEMBER = "@member:"

TABLES = {
    "iam": Table(
        prefix="iam",
        resources={
            ROLE: """
                AttachRolePolicy DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy GetRole
                GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags
                PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole
                UpdateRoleDescription DeleteServiceLinkedRole
            """,
            NEW_ROLE: "CreateRole",
            USER: """
                AttachUserPolicy CreateAccessKey DeleteAccessKey DeleteUser DeleteUserPolicy DetachUserPolicy GetUser
                GetUserPolicy ListAccessKeys ListAttachedUserPolicies ListGroupsForUser ListUserPolicies ListUserTags
                PutUserPermissionsBoundary PutUserPolicy TagUser UntagUser UpdateAccessKey
            """,
            "@new-user:UserName": "CreateUser",
            GROUP: """
                AddUserToGroup AttachGroupPolicy CreateGroup DeleteGroup DeleteGroupPolicy DetachGroupPolicy GetGroup
                GetGroupPolicy ListAttachedGroupPolicies ListGroupPolicies PutGroupPolicy RemoveUserFromGroup
            """,
            PROFILE: """
                AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile
                RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile
            """,
            "{PolicyArn}": """
                CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion ListEntitiesForPolicy
                ListPolicyTags ListPolicyVersions SetDefaultPolicyVersion TagPolicy UntagPolicy
            """,
            "@new-policy:PolicyName": "CreatePolicy",
            "arn:{partition}:iam::{account}:role/aws-service-role/{AWSServiceName}/*": "CreateServiceLinkedRole",
            NONE: """
                GetAccountAuthorizationDetails GetAccountSummary ListAccountAliases ListGroups ListInstanceProfiles
                ListPolicies ListRoles ListUsers
            """,
        },
        passes={"AddRoleToInstanceProfile": (Passing("@role:RoleName", "ec2.amazonaws.com"),)},
        keys={
            "iam:AWSServiceName": "AWSServiceName",
            "iam:PermissionsBoundary": "PermissionsBoundary",
            "iam:PolicyARN": "PolicyArn",
        },
    ),
    "sts": Table(
        prefix="sts",
        resources={NONE: "DecodeAuthorizationMessage GetAccessKeyInfo GetSessionToken"},
        needs={"GetCallerIdentity": ()},  # anybody may ask who they are; no policy can forbid it
    ),
    "organizations": Table(
        prefix="organizations",
        resources={
            MEMBER + "AccountId": """
                CloseAccount DeregisterDelegatedAdministrator DescribeAccount ListDelegatedServicesForAccount
                RegisterDelegatedAdministrator RemoveAccountFromOrganization
            """,
            MEMBER + "OrganizationalUnitId": """
                DeleteOrganizationalUnit DescribeOrganizationalUnit UpdateOrganizationalUnit
            """,
            MEMBER + "ParentId": """
                CreateOrganizationalUnit ListAccountsForParent ListChildren ListOrganizationalUnitsForParent
            """,
            MEMBER + "ChildId": "ListParents",
            MEMBER + "Target.Id": "InviteAccountToOrganization",
            MEMBER + "TargetId": "ListPoliciesForTarget",
            "arn:{partition}:organizations::*:handshake/*/invite/{HandshakeId}": """
                AcceptHandshake DeclineHandshake DescribeHandshake
            """,
            MEMBER + "ResourceId": "ListTagsForResource TagResource UntagResource",
            NONE: """
                CreateAccount CreateOrganization DeleteOrganization DescribeCreateAccountStatus DescribeOrganization
                DisableAWSServiceAccess EnableAWSServiceAccess EnableAllFeatures LeaveOrganization
                ListAWSServiceAccessForOrganization ListAccounts ListCreateAccountStatus ListDelegatedAdministrators
                ListHandshakesForAccount ListPolicies ListRoots
            """,
        },
        needs={
            "MoveAccount": (
                Need(
                    "organizations:MoveAccount",
                    (MEMBER + "AccountId", MEMBER + "SourceParentId", MEMBER + "DestinationParentId"),
                ),
            ),
        },
        keys={"organizations:ServicePrincipal": "ServicePrincipal"},
    ),
}
