"""The embedded Application Auto Scaling: what must exist before a target, a policy or a tag, and what ends with it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from resource_support import Stack, error_of
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION

pytestmark = pytest.mark.slow

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@pytest.fixture
def stack(aws: EmbeddedAws) -> Stack:
    return Stack(aws, REGION)


def named(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": "sagemaker", "ScalableDimension": DIMENSION, "ResourceId": resource}


def tracking(target: dict[str, str], name: str = "p") -> dict[str, Any]:
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return {
        **target,
        "PolicyName": name,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1, "PredefinedMetricSpecification": metric},
    }


def test_a_target_must_be_a_variant_of_an_endpoint(stack: Stack) -> None:
    scaling = stack.client("application-autoscaling")
    stack.endpoint("e")
    for resource in ("endpoint/other/variant/AllTraffic", "endpoint/e/variant/Other"):
        with pytest.raises(ClientError, match=f"doesn't exist: {resource}"):
            scaling.register_scalable_target(**named(resource), MinCapacity=1, MaxCapacity=2)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


def test_a_policy_needs_its_target_and_ends_with_it(stack: Stack) -> None:
    scaling = stack.client("application-autoscaling")
    stack.endpoint("e")
    target = named("endpoint/e/variant/AllTraffic")
    assert error_of(scaling.put_scaling_policy, **tracking(target)) == "ObjectNotFoundException"
    assert error_of(scaling.deregister_scalable_target, **target) == "ObjectNotFoundException"
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2)
    for name in ("p", "q", "r"):
        scaling.put_scaling_policy(**tracking(target, name))
    assert error_of(scaling.delete_scaling_policy, **target, PolicyName="x") == "ObjectNotFoundException"
    scaling.delete_scaling_policy(**target, PolicyName="r")
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert [policy["PolicyName"] for policy in policies] == ["p", "q"]
    scaling.deregister_scalable_target(**target)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []


def test_tags_are_of_a_target(stack: Stack, aws: EmbeddedAws) -> None:
    scaling = stack.client("application-autoscaling")
    stack.endpoint("e")
    target = named("endpoint/e/variant/AllTraffic")
    arn = scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=2, Tags={"a": "1", "b": "2"})[
        "ScalableTargetARN"
    ]
    scaling.tag_resource(ResourceARN=arn, Tags={"b": "3"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["a"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"b": "3"}
    other = Stack(aws, REGION).client("application-autoscaling")
    assert error_of(other.list_tags_for_resource, ResourceARN=arn) == "ResourceNotFoundException"
    scaling.deregister_scalable_target(**target)
    assert error_of(scaling.list_tags_for_resource, ResourceARN=arn) == "ResourceNotFoundException"
