"""What training, registering and serving models needs: SageMaker, the scaling of its endpoints, schedules of jobs."""

from __future__ import annotations

from collections.abc import Mapping

from ..rules import NONE, Need, Passing, Table

SAGEMAKER = "arn:{partition}:sagemaker:{region}:{account}:"
ENDPOINT, ENDPOINT_CONFIG = SAGEMAKER + "endpoint/{EndpointName}", SAGEMAKER + "endpoint-config/{EndpointConfigName}"
MODEL, PIPELINE, PROJECT = (
    SAGEMAKER + "model/{ModelName}",
    SAGEMAKER + "pipeline/{PipelineName}",
    SAGEMAKER + "project/",
)
SCHEDULE = "arn:{partition}:scheduler:{region}:{account}:schedule/{GroupName}/{Name}"
GROUP, TARGET = SAGEMAKER + "model-package-group/", "arn:{partition}:application-autoscaling:{region}:{account}:"


def _to_sagemaker(parameter: str, *operations: str) -> Mapping[str, tuple[Passing, ...]]:
    return dict.fromkeys(operations, (Passing(parameter, "sagemaker.amazonaws.com"),))


TABLES = {
    "sagemaker": Table(
        prefix="sagemaker",
        resources={
            ENDPOINT: "DeleteEndpoint DescribeEndpoint UpdateEndpointWeightsAndCapacities",
            ENDPOINT_CONFIG: "CreateEndpointConfig DeleteEndpointConfig DescribeEndpointConfig",
            MODEL: "DeleteModel DescribeModel",
            "@package:ModelPackageName": "DeleteModelPackage DescribeModelPackage",
            "@package:ModelPackageArn": "UpdateModelPackage",
            "@package:ModelPackageArnList": "BatchDescribeModelPackage",
            "@new-package:ModelPackageGroupName": "CreateModelPackage ListModelPackages",
            GROUP + "{ModelPackageGroupName}": """
                CreateModelPackageGroup DeleteModelPackageGroup DeleteModelPackageGroupPolicy
                DescribeModelPackageGroup GetModelPackageGroupPolicy PutModelPackageGroupPolicy
            """,
            PIPELINE: """
                CreatePipeline DeletePipeline DescribePipeline ListPipelineExecutions ListPipelineVersions
                StartPipelineExecution UpdatePipeline
            """,
            "{PipelineExecutionArn}": """
                DescribePipelineDefinitionForExecution DescribePipelineExecution ListPipelineExecutionSteps
                ListPipelineParametersForExecution RetryPipelineExecution StopPipelineExecution UpdatePipelineExecution
            """,
            PROJECT + "{ProjectName}": "CreateProject DeleteProject DescribeProject UpdateProject",
            SAGEMAKER + "processing-job/{ProcessingJobName}": """
                CreateProcessingJob DescribeProcessingJob StopProcessingJob
            """,
            SAGEMAKER + "training-job/{TrainingJobName}": "CreateTrainingJob DescribeTrainingJob StopTrainingJob",
            SAGEMAKER + "transform-job/{TransformJobName}": "CreateTransformJob DescribeTransformJob StopTransformJob",
            SAGEMAKER + "domain/{DomainId}": "DescribeDomain",
            SAGEMAKER + "user-profile/{DomainId}/{UserProfileName}": "DescribeUserProfile",
            SAGEMAKER + "experiment/{ExperimentName}": "CreateExperiment DescribeExperiment",
            "{ResourceArn}": "AddTags DeleteTags ListTags",
            NONE: """
                DisableSagemakerServicecatalogPortfolio EnableSagemakerServicecatalogPortfolio
                GetSagemakerServicecatalogPortfolioStatus ListDomains ListEndpointConfigs ListEndpoints
                ListExperiments ListModelPackageGroups ListModels ListPipelines ListProcessingJobs ListProjects
                ListTrainingJobs ListTransformJobs ListUserProfiles Search
            """,
        },
        needs={
            "CreateEndpoint": (Need("sagemaker:CreateEndpoint", (ENDPOINT, ENDPOINT_CONFIG)),),
            "UpdateEndpoint": (Need("sagemaker:UpdateEndpoint", (ENDPOINT, ENDPOINT_CONFIG)),),
            # A package of another account is let out by its group's policy only to whom their own policies let it.
            "CreateModel": (Need("sagemaker:CreateModel", (MODEL, "@foreign-packages:")),),
        },
        passes={
            **_to_sagemaker("ExecutionRoleArn", "CreateModel", "CreateEndpointConfig"),
            **_to_sagemaker("RoleArn", "CreatePipeline", "UpdatePipeline", "CreateProcessingJob", "CreateTrainingJob"),
        },
        keys={"sagemaker:ModelApprovalStatus": "ModelApprovalStatus"},
    ),
    "sagemaker-runtime": Table(
        prefix="sagemaker",
        resources={ENDPOINT: "InvokeEndpoint InvokeEndpointAsync InvokeEndpointWithResponseStream"},
        keys={"sagemaker:TargetModel": "TargetModel"},
    ),
    "scheduler": Table(
        prefix="scheduler",
        resources={
            SCHEDULE: "CreateSchedule DeleteSchedule GetSchedule UpdateSchedule",
            NONE: "ListScheduleGroups ListSchedules",
        },
        passes=dict.fromkeys(
            ("CreateSchedule", "UpdateSchedule"), (Passing("Target.RoleArn", "scheduler.amazonaws.com"),)
        ),
    ),
    "application-autoscaling": Table(
        prefix="application-autoscaling",
        resources={
            # A target's ARN has an id that nobody chooses.
            TARGET + "scalable-target/*": """
                DeleteScalingPolicy DeleteScheduledAction DeregisterScalableTarget PutScalingPolicy PutScheduledAction
                RegisterScalableTarget
            """,
            "{ResourceARN}": "ListTagsForResource TagResource UntagResource",
            NONE: """
                DescribeScalableTargets DescribeScalingActivities DescribeScalingPolicies DescribeScheduledActions
            """,
        },
        keys={
            "application-autoscaling:scalable-dimension": "ScalableDimension",
            "application-autoscaling:service-namespace": "ServiceNamespace",
        },
    ),
}
