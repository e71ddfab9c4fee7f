"""What building and delivering needs: the services named Code..., EventBridge, CloudFormation, Service Catalog."""

from __future__ import annotations

from ..rules import NONE, Need, Passing, Table

CODECOMMIT = "arn:{partition}:codecommit:{region}:{account}:"
CODEBUILD = "arn:{partition}:codebuild:{region}:{account}:"
CODEPIPELINE = "arn:{partition}:codepipeline:{region}:{account}:"
EVENTS = "arn:{partition}:events:{region}:{account}:"
CLOUDFORMATION = "arn:{partition}:cloudformation:{region}:{account}:"
CATALOG = "arn:{partition}:catalog:{region}:{account}:"

STACK = CLOUDFORMATION + "stack/{StackName}/*"
STACK_SET = "@stackset:StackSetName"
STACK_SET_TARGETS = "@stackset-target:StackSetName"
RESOURCE_TYPES = "arn:{partition}:cloudformation:{region}::type/resource/*"  # AWS's own types belong to no account
TO_CLOUDFORMATION = (Passing("RoleARN", "cloudformation.amazonaws.com"),)
TO_STACK_SETS = (Passing("AdministrationRoleARN", "cloudformation.amazonaws.com"),)
TO_CODEBUILD = (Passing("serviceRole", "codebuild.amazonaws.com"),)
TO_CODEPIPELINE = (Passing("pipeline.roleArn", "codepipeline.amazonaws.com"),)
VALIDATES = Need("cloudformation:ValidateTemplate")  # Service Catalog asks in the caller's name
PRODUCT, PORTFOLIO = CATALOG + "product/", CATALOG + "portfolio/"


def _instances(action: str) -> tuple[Need, ...]:
    return (Need(f"cloudformation:{action}", (STACK_SET, STACK_SET_TARGETS, RESOURCE_TYPES)),)


TABLES = {
    "codecommit": Table(
        prefix="codecommit",
        resources={
            CODECOMMIT + "{repositoryName}": """
                CreateBranch CreateCommit CreateRepository DeleteBranch DeleteFile DeleteRepository GetBlob GetBranch
                GetCommit GetDifferences GetFile GetFolder GetMergeCommit GetMergeConflicts GetMergeOptions
                GetRepository GetRepositoryTriggers ListBranches ListFileCommitHistory ListPullRequests
                MergeBranchesByFastForward MergeBranchesBySquash MergeBranchesByThreeWay PutFile PutRepositoryTriggers
                BatchGetCommits TestRepositoryTriggers UpdateDefaultBranch UpdateRepositoryDescription
                UpdateRepositoryEncryptionKey GitPull GitPush UploadArchive
            """,
            CODECOMMIT + "{repositoryNames}": "BatchGetRepositories",
            CODECOMMIT + "{oldName}": "UpdateRepositoryName",
            "{resourceArn}": "ListTagsForResource TagResource UntagResource",
            NONE: "ListRepositories",
        },
        keys={"codecommit:References": "branchName"},
    ),
    "codebuild": Table(
        prefix="codebuild",
        resources={
            CODEBUILD + "project/{name}": "CreateProject DeleteProject UpdateProject",
            CODEBUILD + "project/{names}": "BatchGetProjects",
            CODEBUILD + "project/{projectName}": "InvalidateProjectCache ListBuildsForProject StartBuild",
            "@project-of-build:ids": "BatchDeleteBuilds BatchGetBuilds",
            "@project-of-build:id": "RetryBuild StopBuild",
            CODEBUILD + "report-group/{name}": "CreateReportGroup",
            "{arn}": "DeleteReportGroup UpdateReportGroup",
            "{reportGroupArns}": "BatchGetReportGroups",
            "{reportGroupArn}": "CreateReport GetReportGroupTrend ListReportsForReportGroup",
            "@group-of-report:reportArns": "BatchGetReports",
            "@group-of-report:reportArn": """
                BatchPutCodeCoverages BatchPutTestCases DescribeCodeCoverages DescribeTestCases UpdateReport
            """,
            NONE: "ListBuilds ListCuratedEnvironmentImages ListProjects ListReportGroups ListReports",
        },
        needs={"DeleteReport": (Need("codebuild:DeleteReport", ("@group-of-report:arn",)),)},
        passes={
            "CreateProject": TO_CODEBUILD,
            "UpdateProject": TO_CODEBUILD,
            "StartBuild": (Passing("serviceRoleOverride", "codebuild.amazonaws.com"),),
        },
    ),
    "codepipeline": Table(
        prefix="codepipeline",
        resources={
            CODEPIPELINE + "{pipeline.name}": "CreatePipeline UpdatePipeline",
            CODEPIPELINE + "{name}": "DeletePipeline GetPipeline GetPipelineState StartPipelineExecution",
            CODEPIPELINE + "{pipelineName}": """
                GetPipelineExecution ListActionExecutions ListDeployActionExecutionTargets ListPipelineExecutions
                ListRuleExecutions StopPipelineExecution
            """,
            CODEPIPELINE + "{pipelineName}/{stageName}": """
                DisableStageTransition EnableStageTransition OverrideStageCondition RetryStageExecution RollbackStage
            """,
            CODEPIPELINE + "{pipelineName}/{stageName}/{actionName}": "PutApprovalResult",
            "{resourceArn}": "ListTagsForResource TagResource UntagResource",
            NONE: "ListActionTypes ListPipelines ListRuleTypes",
        },
        passes={"CreatePipeline": TO_CODEPIPELINE, "UpdatePipeline": TO_CODEPIPELINE},
    ),
    "events": Table(
        prefix="events",
        resources={
            "@rule:Name": "DeleteRule DescribeRule DisableRule EnableRule PutRule",
            "@rule:Rule": "ListTargetsByRule PutTargets RemoveTargets",
            "@bus:Entries.EventBusName": "PutEvents",
            EVENTS + "event-bus/{Name}": "CreateEventBus DeleteEventBus DescribeEventBus UpdateEventBus",
            "{ResourceARN}": "ListTagsForResource TagResource UntagResource",
            NONE: """
                ListEventBuses ListRuleNamesByTarget ListRules PutPermission RemovePermission TestEventPattern
            """,
        },
        passes={
            "PutTargets": (Passing("Targets.RoleArn", "events.amazonaws.com"),),
            "PutRule": (Passing("RoleArn", "events.amazonaws.com"),),
        },
        keys={
            "events:TargetArn": "Targets.Arn",
            "events:detail-type": "Entries.DetailType",
            "events:source": "Entries.Source",
        },
    ),
    "cloudformation": Table(
        prefix="cloudformation",
        resources={
            STACK: """
                CancelUpdateStack ContinueUpdateRollback CreateChangeSet CreateStack DeleteChangeSet DeleteStack
                DescribeChangeSet DescribeStackEvents DescribeStackResource DescribeStackResourceDrifts
                DescribeStackResources DescribeStacks DetectStackDrift ExecuteChangeSet GetStackPolicy GetTemplate
                ListChangeSets ListStackResources RollbackStack SetStackPolicy UpdateStack UpdateTerminationProtection
            """,
            STACK_SET: """
                DeleteStackSet DescribeStackInstance DescribeStackSet DescribeStackSetOperation ListStackInstances
                ListStackSetOperationResults ListStackSetOperations StopStackSetOperation
            """,
            f"?{STACK}": "GetTemplateSummary",
            NONE: """
                CreateStackSet DescribeAccountLimits EstimateTemplateCost ListExports ListImports ListStackSets
                ListStacks ValidateTemplate
            """,
        },
        needs={
            action: _instances(action)
            for action in ("CreateStackInstances", "DeleteStackInstances", "UpdateStackInstances", "UpdateStackSet")
        },
        passes={
            **dict.fromkeys(("CreateChangeSet", "CreateStack", "DeleteStack", "UpdateStack"), TO_CLOUDFORMATION),
            **dict.fromkeys(("CreateStackSet", "UpdateStackSet"), TO_STACK_SETS),
        },
        keys={
            "cloudformation:ChangeSetName": "ChangeSetName",
            "cloudformation:ResourceTypes": "ResourceTypes",
            "cloudformation:RoleArn": "RoleARN",
            "cloudformation:StackPolicyUrl": "StackPolicyURL",
            "cloudformation:TargetRegion": "Regions",
            "cloudformation:TemplateUrl": "TemplateURL",
        },
    ),
    "servicecatalog": Table(
        prefix="servicecatalog",
        resources={
            PORTFOLIO + "{Id}": "DeletePortfolio DescribePortfolio UpdatePortfolio",
            PORTFOLIO + "*": "CreatePortfolio",
            PORTFOLIO + "{PortfolioId}": """
                AcceptPortfolioShare AssociatePrincipalWithPortfolio CreatePortfolioShare DeletePortfolioShare
                DescribePortfolioShares DisassociatePrincipalFromPortfolio ListPortfolioAccess
                ListPrincipalsForPortfolio RejectPortfolioShare
            """,
            PRODUCT + "{Id}": "DeleteProduct DescribeProduct DescribeProductAsAdmin UpdateProduct",
            PRODUCT + "{ProductId}": """
                DeleteProvisioningArtifact DescribeProvisioningArtifact DescribeProvisioningParameters
                ListLaunchPaths ListPortfoliosForProduct ListProvisioningArtifacts ProvisionProduct
                UpdateProvisioningArtifact
            """,
            NONE: """
                AssociateProductWithPortfolio DeleteConstraint DescribeConstraint DescribeProductView
                DescribeProvisionedProduct DescribeRecord DisassociateProductFromPortfolio
                GetProvisionedProductOutputs ListAcceptedPortfolioShares ListConstraintsForPortfolio
                ListPortfolios ListRecordHistory ScanProvisionedProducts SearchProducts SearchProductsAsAdmin
                SearchProvisionedProducts TerminateProvisionedProduct UpdateConstraint UpdateProvisionedProduct
                UpdateProvisionedProductProperties
            """,
        },
        needs={
            "CreateConstraint": (Need("servicecatalog:CreateConstraint", (PRODUCT + "{ProductId}",)),),
            "CreateProduct": (
                Need("servicecatalog:CreateProduct", (PRODUCT + "*",)),
                Need("servicecatalog:TagResource", (PRODUCT + "*",), when="Tags"),
                VALIDATES,
            ),
            "CreateProvisioningArtifact": (
                Need("servicecatalog:CreateProvisioningArtifact", (PRODUCT + "{ProductId}",)),
                VALIDATES,
            ),
        },
        passes={
            "CreateConstraint": (Passing("@role-in:Parameters", "servicecatalog.amazonaws.com"),),
            "UpdateConstraint": (Passing("@role-in:Parameters", "servicecatalog.amazonaws.com"),),
        },
    ),
}
