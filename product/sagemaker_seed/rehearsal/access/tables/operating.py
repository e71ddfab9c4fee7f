"""What watching and telling needs: CloudWatch and its logs, SNS, SQS, tags; and networks and images."""

from __future__ import annotations

from ..rules import NONE, Need, Table

ALARM, LOGS = "arn:{partition}:cloudwatch:{region}:{account}:alarm:", "arn:{partition}:logs:{region}:{account}:"
DASHBOARD = "arn:{partition}:cloudwatch::{account}:dashboard/"
# CloudWatch Logs asks about a group under the ARN of its streams; for tags alone under its own.
GROUP = LOGS + "log-group:{logGroupName}:log-stream:"
SNS, SQS = "arn:{partition}:sns:{region}:{account}:", "@queue:QueueUrl"
EC2, ECR = "arn:{partition}:ec2:{region}:{account}:", "arn:{partition}:ecr:{region}:{account}:repository/"
# To a topic with a key of its own, https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
PUBLISHES = (
    Need("sns:Publish", ("{TopicArn}",)),
    Need("kms:GenerateDataKey", ("@key-of-topic:TopicArn",), via="sns"),
    Need("kms:Decrypt", ("@key-of-topic:TopicArn",), via="sns"),
)

TABLES = {
    "cloudwatch": Table(
        prefix="cloudwatch",
        resources={
            ALARM + "{AlarmName}": "DescribeAlarmHistory PutCompositeAlarm PutMetricAlarm SetAlarmState",
            ALARM + "{AlarmNames}": "DeleteAlarms DescribeAlarms DisableAlarmActions EnableAlarmActions",
            DASHBOARD + "{DashboardName}": "GetDashboard PutDashboard",
            DASHBOARD + "{DashboardNames}": "DeleteDashboards",
            "{ResourceARN}": "ListTagsForResource TagResource UntagResource",
            NONE: """
                DescribeAlarmsForMetric GetMetricData GetMetricStatistics ListDashboards ListMetrics PutMetricData
            """,
        },
        keys={"cloudwatch:namespace": "Namespace"},
    ),
    "logs": Table(
        prefix="logs",
        resources={
            GROUP: """
                AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteMetricFilter
                DeleteRetentionPolicy DeleteSubscriptionFilter DescribeLogStreams DescribeMetricFilters
                DescribeSubscriptionFilters DisassociateKmsKey FilterLogEvents PutMetricFilter PutRetentionPolicy
                PutSubscriptionFilter
            """,
            LOGS + "log-group:{logGroupIdentifier}:log-stream:": """
                DeleteDataProtectionPolicy GetDataProtectionPolicy PutDataProtectionPolicy
            """,
            LOGS + "log-group:{logGroupName}:log-stream:{logStreamName}": """
                CreateLogStream DeleteLogStream GetLogEvents PutLogEvents
            """,
            LOGS + "log-group:{logGroupName}": "ListTagsLogGroup TagLogGroup UntagLogGroup",
            "{resourceArn}": "ListTagsForResource TagResource UntagResource",
            NONE: "DescribeIndexPolicies DescribeLogGroups DescribeResourcePolicies ListLogGroups",
        },
    ),
    "sns": Table(
        prefix="sns",
        resources={
            SNS + "{Name}": "CreateTopic",
            "{TopicArn}": """
                AddPermission ConfirmSubscription DeleteTopic GetTopicAttributes
                ListSubscriptionsByTopic RemovePermission SetTopicAttributes Subscribe
            """,
            "@topic:SubscriptionArn": "GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe",
            "{ResourceArn}": "GetDataProtectionPolicy ListTagsForResource TagResource UntagResource",
            NONE: "ListSubscriptions ListTopics",
        },
        needs={"Publish": PUBLISHES, "PublishBatch": PUBLISHES},
        keys={"sns:Endpoint": "Endpoint", "sns:Protocol": "Protocol"},
    ),
    "sqs": Table(
        prefix="sqs",
        resources={
            "arn:{partition}:sqs:{region}:{account}:{QueueName}": "CreateQueue GetQueueUrl",
            SQS: """
                AddPermission ChangeMessageVisibility DeleteMessage DeleteQueue GetQueueAttributes ListQueueTags
                PurgeQueue ReceiveMessage SendMessage SetQueueAttributes TagQueue UntagQueue
            """,
            NONE: "ListQueues",
        },
        needs={
            "DeleteMessageBatch": (Need("sqs:DeleteMessage", (SQS,)),),
            "SendMessageBatch": (Need("sqs:SendMessage", (SQS,)),),
        },
    ),
    "resourcegroupstaggingapi": Table(prefix="tag", resources={NONE: "GetResources GetTagKeys GetTagValues"}),
    "ec2": Table(
        prefix="ec2",
        resources={
            EC2 + "vpc/*": "CreateVpc",
            EC2 + "vpc/{VpcId}": "DeleteVpc ModifyVpcAttribute",
            EC2 + "subnet/{SubnetId}": "DeleteSubnet ModifySubnetAttribute",
            EC2 + "security-group/{GroupId}": """
                AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress DeleteSecurityGroup
                RevokeSecurityGroupEgress RevokeSecurityGroupIngress
            """,
            EC2 + "vpc-endpoint/{VpcEndpointId}": "ModifyVpcEndpoint",
            EC2 + "vpc-endpoint/{VpcEndpointIds}": "DeleteVpcEndpoints",
            "@part-of-network:Resources": "CreateTags DeleteTags",
            NONE: """
                DescribeAvailabilityZones DescribeDhcpOptions DescribeNetworkAcls DescribeNetworkInterfaces
                DescribeRegions DescribeRouteTables DescribeSecurityGroupRules DescribeSecurityGroups DescribeSubnets
                DescribeTags DescribeVpcAttribute DescribeVpcEndpoints DescribeVpcs
            """,
        },
        needs={
            "CreateVpcEndpoint": (Need("ec2:CreateVpcEndpoint", (EC2 + "vpc-endpoint/*", EC2 + "vpc/{VpcId}")),),
            "CreateSubnet": (Need("ec2:CreateSubnet", (EC2 + "subnet/*", EC2 + "vpc/{VpcId}")),),
            "CreateSecurityGroup": (Need("ec2:CreateSecurityGroup", (EC2 + "security-group/*", EC2 + "vpc/{VpcId}")),),
        },
    ),
    "ecr": Table(
        prefix="ecr",
        resources={
            ECR + "{repositoryName}": """
                BatchCheckLayerAvailability BatchGetImage CreateRepository DeleteRepository DescribeImages
                GetDownloadUrlForLayer GetRepositoryPolicy ListImages SetRepositoryPolicy
            """,
            ECR + "{repositoryNames}": "DescribeRepositories",
            NONE: "GetAuthorizationToken",
        },
    ),
}
