"""What keeping things needs: keys of KMS, parameters, secrets. Buckets are judged by ``services/s3.py``."""

from __future__ import annotations

from ..rules import NONE, Need, Table

KMS, KEY = "arn:{partition}:kms:{region}:{account}:", "@key:KeyId"
SECRET = "arn:{partition}:secretsmanager:{region}:{account}:secret:"  # noqa: S105 - an ARN

TABLES = {
    "kms": Table(
        prefix="kms",
        resources={
            KEY: """
                CancelKeyDeletion CreateGrant DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation
                Encrypt GenerateDataKey GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext
                GenerateDataKeyWithoutPlaintext GenerateMac GetKeyPolicy GetKeyRotationStatus GetPublicKey ListGrants
                ListKeyPolicies ListResourceTags PutKeyPolicy RetireGrant RevokeGrant RotateKeyOnDemand
                ScheduleKeyDeletion Sign TagResource UntagResource UpdateKeyDescription Verify VerifyMac
            """,
            "@key-of-ciphertext:CiphertextBlob": "Decrypt",
            NONE: "GenerateRandom ListAliases ListKeys ListRetirableGrants",
        },
        needs={
            "CreateKey": (
                Need("kms:CreateKey"),
                Need("kms:TagResource", (KMS + "key/*",), when="Tags"),
            ),
            "CreateAlias": (Need("kms:CreateAlias", (KMS + "{AliasName}", "@key:TargetKeyId")),),
            "DeleteAlias": (Need("kms:DeleteAlias", (KMS + "{AliasName}", "@key:AliasName")),),
            "UpdateAlias": (Need("kms:UpdateAlias", (KMS + "{AliasName}", "@key:AliasName", "@key:TargetKeyId")),),
            "ReEncrypt": (
                Need("kms:ReEncryptFrom", ("@key-of-ciphertext:CiphertextBlob",)),
                Need("kms:ReEncryptTo", ("@key:DestinationKeyId",)),
            ),
        },
        keys={
            "kms:GrantOperations": "Operations",
            "kms:GranteePrincipal": "GranteePrincipal",
            "kms:KeyOrigin": "Origin",
            "kms:KeySpec": "KeySpec",
            "kms:KeyUsage": "KeyUsage",
            "kms:ScheduleKeyDeletionPendingWindowInDays": "PendingWindowInDays",
        },
    ),
    "ssm": Table(
        prefix="ssm",
        resources={
            "@parameter:Name": """
                DeleteParameter GetParameter GetParameterHistory LabelParameterVersion PutParameter
            """,
            "@parameter:Names": "DeleteParameters GetParameters",
            "@parameter:Path": "GetParametersByPath",
            "@parameter:ResourceId": "AddTagsToResource ListTagsForResource RemoveTagsFromResource",
            NONE: "DescribeParameters",
        },
        keys={"ssm:Overwrite": "Overwrite", "ssm:Recursive": "Recursive"},
    ),
    "secretsmanager": Table(
        prefix="secretsmanager",
        resources={
            SECRET + "{Name}-??????": "CreateSecret",
            "@secret:SecretId": """
                DeleteSecret DescribeSecret GetSecretValue ListSecretVersionIds PutSecretValue RestoreSecret
                TagResource UntagResource UpdateSecret
            """,
            NONE: "ListSecrets",
        },
    ),
}
