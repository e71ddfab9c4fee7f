"""What SageMaker's own pipelines have run: their executions, step by step. Starts none."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def executions(sagemaker: Any) -> list[dict[str, Any]]:
    """Every execution of every pipeline, oldest first, with its steps in the order in which they began."""
    found = [
        (summary["StartTime"], pipeline["PipelineName"], summary["PipelineExecutionArn"])
        for pipeline in sagemaker.list_pipelines()["PipelineSummaries"]
        for summary in sagemaker.list_pipeline_executions(PipelineName=pipeline["PipelineName"])[
            "PipelineExecutionSummaries"
        ]
    ]
    return [_execution(sagemaker, name, arn) for _, name, arn in sorted(found)]


def _execution(sagemaker: Any, name: str, arn: str) -> dict[str, Any]:
    described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
    return {
        "pipeline": name,
        "execution": arn,
        "status": described["PipelineExecutionStatus"],
        "steps": [_step(step) for step in steps["PipelineExecutionSteps"]],
    }


def _step(step: dict[str, Any]) -> dict[str, Any]:
    began: datetime = step["StartTime"]
    ended: datetime = step.get("EndTime") or began
    return {
        "name": step["StepName"],
        "status": step["StepStatus"],
        "began": began.timestamp(),
        "ended": ended.timestamp(),
        "cached": bool(step.get("CacheHitResult")),
        "said": step.get("FailureReason", ""),
    }


def lines(execution: dict[str, Any]) -> list[str]:
    """A line for each step."""
    return [
        f"{'':<7} {step['name']:<21} {step['status']} in {step['ended'] - step['began']:.1f} s"
        f"{', from the cache' if step['cached'] else ''}{': ' + step['said'] if step['said'] else ''}"
        for step in execution["steps"]
    ]
