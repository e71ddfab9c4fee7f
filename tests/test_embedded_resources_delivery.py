"""CloudFormation's providers of the delivery's own services: catalog, code, rules, models, alarms, scaling."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from typing import Any

import pytest
from resource_support import TAG, Stack, as_map, error_of, failure
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION

TAGS = {"team": "ml", "purpose": "test"}
TEMPLATE = "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}"
RULE, ALARM, DASHBOARD = "AWS::Events::Rule", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"
CATALOG = "AWS::ServiceCatalog::"
PORTFOLIO, PRODUCT = f"{CATALOG}Portfolio", f"{CATALOG}CloudFormationProduct"
MODEL, CONFIG, ENDPOINT = "AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig", "AWS::SageMaker::Endpoint"
GROUP = "AWS::SageMaker::ModelPackageGroup"
TARGET, SCALING = "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"


@pytest.fixture
def stack(aws: EmbeddedAws) -> Stack:
    return Stack(aws, REGION)


# --- rules


def test_a_rule_and_its_targets(stack: Stack) -> None:
    events, sns = stack.client("events"), stack.client("sns")
    topics = [sns.create_topic(Name=name)["TopicArn"] for name in ("a", "b")]
    transformer = {"InputPathsMap": {"arn": "$.detail.arn"}, "InputTemplate": '{"arn": "<arn>"}'}
    given: dict[str, Any] = {
        "Name": "rule",
        "Description": "one",
        "EventPattern": {"source": ["aws.sagemaker"], "detail": {"ModelApprovalStatus": ["Approved"]}},
        "Targets": [{"Id": "a", "Arn": topics[0], "InputTransformer": transformer}, {"Id": "b", "Arn": topics[1]}],
        "Tags": TAG,
    }
    made = stack.create(RULE, **given)
    rule = events.describe_rule(Name="rule")
    assert (made.physical_id, made.attributes["Arn"]) == ("rule", rule["Arn"])
    assert json.loads(rule["EventPattern"]) == given["EventPattern"]
    assert (rule["Description"], rule["State"]) == ("one", "ENABLED")
    a, b = sorted(events.list_targets_by_rule(Rule="rule")["Targets"], key=lambda target: str(target["Id"]))
    assert (a["InputTransformer"], b["Arn"]) == (transformer, topics[1])
    assert as_map(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]) == TAGS
    assert failure(stack.create, RULE, **given) == "rule already exists"

    new = {
        "Name": "rule",
        "State": "DISABLED",
        "EventPattern": {"source": ["mine"]},
        "Targets": [{"Id": "b", "Arn": topics[0]}],
    }
    stack.update(RULE, made, given, new)
    rule = events.describe_rule(Name="rule")
    assert (json.loads(rule["EventPattern"]), rule["State"]) == (new["EventPattern"], "DISABLED")
    assert rule.get("Description", "") == ""
    assert [(t["Id"], t["Arn"]) for t in events.list_targets_by_rule(Rule="rule")["Targets"]] == [("b", topics[0])]
    assert as_map(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]) == {"team": "ml"}
    stack.delete(RULE, made, **new)
    assert error_of(events.describe_rule, Name="rule") == "ResourceNotFoundException"


def test_a_rule_of_another_bus(stack: Stack) -> None:
    events = stack.client("events")
    events.create_event_bus(Name="bus")
    given = {"EventBusName": "bus", "EventPattern": {"source": ["mine"]}}
    made = stack.create(RULE, **given)
    assert re.fullmatch(r"bus\|a-stack-MyRule-[A-Z0-9]{12}", made.physical_id)
    assert [rule["Arn"] for rule in events.list_rules(EventBusName="bus")["Rules"]] == [made.attributes["Arn"]]
    stack.delete(RULE, made, **given)
    assert events.list_rules(EventBusName="bus")["Rules"] == []


def test_a_rule_with_a_pattern_that_is_none_is_not_left(stack: Stack) -> None:
    assert error_of(stack.create, RULE, Name="bad", EventPattern={"source": "mine"}) == "InvalidEventPatternException"
    assert stack.client("events").list_rules()["Rules"] == []


# --- Service Catalog


def test_a_portfolio_with_all_that_belongs_to_it(stack: Stack) -> None:
    catalog, role = stack.client("servicecatalog"), stack.role("launch", "servicecatalog.amazonaws.com")
    given = {"DisplayName": "p", "ProviderName": "x", "Description": "d", "Tags": TAG}
    portfolio = stack.create(PORTFOLIO, **given)
    assert re.fullmatch(r"port-\w+", portfolio.physical_id)
    described = catalog.describe_portfolio(Id=portfolio.physical_id)
    assert (described["PortfolioDetail"]["Description"], as_map(described["Tags"])) == ("d", TAGS)
    portfolio = stack.update(PORTFOLIO, portfolio, given, {"DisplayName": "q", "ProviderName": "x"})
    described = catalog.describe_portfolio(Id=portfolio.physical_id)
    assert described["PortfolioDetail"]["DisplayName"] == portfolio.attributes["PortfolioName"] == "q"
    assert described["PortfolioDetail"]["Description"] == ""
    assert as_map(described["Tags"]) == {"team": "ml"}

    versions = _versions(stack, "one", "two")
    wanted: dict[str, Any] = {
        "Name": "product",
        "Owner": "me",
        "Description": "d",
        "ProvisioningArtifactParameters": versions,
        "Tags": TAG,
    }
    product = stack.create(PRODUCT, **wanted)
    assert product.attributes["ProvisioningArtifactNames"] == "one,two"
    ids = product.attributes["ProvisioningArtifactIds"].split(",")
    changed = {
        **{name: wanted[name] for name in ("Name", "Tags")},
        "Owner": "you",
        "ProvisioningArtifactParameters": [{**versions[1], "Description": "new"}, *_versions(stack, "three")],
    }
    product = stack.update(PRODUCT, product, wanted, changed)
    assert product.attributes["ProvisioningArtifactNames"] == "two,three"
    assert product.attributes["ProvisioningArtifactIds"].split(",")[0] == ids[1]
    there = catalog.list_provisioning_artifacts(ProductId=product.physical_id)["ProvisioningArtifactDetails"]
    assert [version.get("Description", "") for version in there] == ["new", ""]
    summary = catalog.describe_product_as_admin(Id=product.physical_id)["ProductViewDetail"]["ProductViewSummary"]
    assert (summary["Owner"], summary.get("ShortDescription", "")) == ("you", "")

    pair = {"PortfolioId": portfolio.physical_id, "ProductId": product.physical_id}
    kinds = {
        f"{CATALOG}PortfolioProductAssociation": pair,
        f"{CATALOG}PortfolioPrincipalAssociation": {
            "PortfolioId": portfolio.physical_id,
            "PrincipalARN": role,
            "PrincipalType": "IAM",
        },
        f"{CATALOG}LaunchRoleConstraint": {**pair, "RoleArn": role, "Description": "d"},
    }
    made = {kind: stack.create(kind, **properties) for kind, properties in kinds.items()}
    assert made[f"{CATALOG}PortfolioPrincipalAssociation"].physical_id == f"{portfolio.physical_id}|{role}"
    [principal] = catalog.list_principals_for_portfolio(PortfolioId=portfolio.physical_id)["Principals"]
    assert principal["PrincipalARN"] == role
    for kind in (f"{CATALOG}PortfolioProductAssociation", f"{CATALOG}PortfolioPrincipalAssociation"):
        assert stack.update(kind, made[kind], kinds[kind], kinds[kind]) == made[kind]
    constraint = made[f"{CATALOG}LaunchRoleConstraint"].physical_id
    assert json.loads(catalog.describe_constraint(Id=constraint)["ConstraintParameters"]) == {"RoleArn": role}
    local = {**pair, "LocalRoleName": "launch"}
    stack.update(
        f"{CATALOG}LaunchRoleConstraint",
        made[f"{CATALOG}LaunchRoleConstraint"],
        kinds[f"{CATALOG}LaunchRoleConstraint"],
        local,
    )
    assert json.loads(catalog.describe_constraint(Id=constraint)["ConstraintParameters"]) == {"LocalRoleName": "launch"}
    assert error_of(stack.delete, PORTFOLIO, portfolio) == "ResourceInUseException"
    for kind, properties in reversed(kinds.items()):
        stack.delete(kind, made[kind], **properties)
    stack.delete(PRODUCT, product)
    stack.delete(PORTFOLIO, portfolio)
    assert catalog.list_portfolios()["PortfolioDetails"] == []


def _versions(stack: Stack, *names: str) -> list[dict[str, Any]]:
    for name in names:
        stack.put(f"{name}.yaml", TEMPLATE.encode())
    url = f"https://{stack.bucket}.s3.{REGION}.amazonaws.com"
    return [{"Name": name, "Info": {"LoadTemplateFromURL": f"{url}/{name}.yaml"}} for name in names]


def test_a_product_whose_second_version_has_no_template_is_not_left(stack: Stack) -> None:
    [good] = _versions(stack, "good")
    bad = {"Name": "bad", "Info": {"LoadTemplateFromURL": good["Info"]["LoadTemplateFromURL"].replace("good", "bad")}}
    code = error_of(stack.create, PRODUCT, Name="p", Owner="o", ProvisioningArtifactParameters=[good, bad])
    assert code == "InvalidParametersException"
    assert stack.client("servicecatalog").search_products_as_admin()["ProductViewDetails"] == []


# --- SageMaker


def test_a_model_package_group_and_its_policy(stack: Stack) -> None:
    sagemaker = stack.client("sagemaker")
    given: dict[str, Any] = {"ModelPackageGroupName": "models", "ModelPackageGroupDescription": "d", "Tags": TAG}
    made = stack.create(GROUP, **given)
    group = sagemaker.describe_model_package_group(ModelPackageGroupName="models")
    assert made.physical_id == made.attributes["ModelPackageGroupArn"] == group["ModelPackageGroupArn"]
    assert group["ModelPackageGroupDescription"] == "d"
    assert as_map(sagemaker.list_tags(ResourceArn=made.physical_id)["Tags"]) == TAGS
    shared = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
                "Action": "sagemaker:DescribeModelPackageGroup",
                "Resource": group["ModelPackageGroupArn"],
            }
        ],
    }
    stack.update(GROUP, made, given, {**given, "ModelPackageGroupPolicy": shared})
    policy = sagemaker.get_model_package_group_policy(ModelPackageGroupName="models")["ResourcePolicy"]
    assert json.loads(policy) == shared
    given = {**given, "ModelPackageGroupPolicy": shared}
    stack.update(
        GROUP,
        made,
        given,
        {
            "ModelPackageGroupName": "models",
            "ModelPackageGroupDescription": "d",
            "Tags": [{"Key": "purpose", "Value": "2"}],
        },
    )
    code = error_of(sagemaker.get_model_package_group_policy, ModelPackageGroupName="models")
    assert code == "ValidationException"
    assert as_map(sagemaker.list_tags(ResourceArn=made.physical_id)["Tags"]) == {"team": "ml", "purpose": "2"}
    stack.delete(GROUP, made)
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_a_pipeline_of_sagemaker(stack: Stack) -> None:
    sagemaker, role, kind = stack.client("sagemaker"), stack.role(allowed="*"), "AWS::SageMaker::Pipeline"

    def definition(message: str) -> str:
        step = {"Name": "Fail", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
        return json.dumps({"Version": "2020-12-01", "Steps": [step]})

    stack.put("definition.json", definition("two").encode())
    given = {
        "PipelineName": "training",
        "PipelineDescription": "d",
        "PipelineDefinition": {"PipelineDefinitionBody": definition("one")},
        "RoleArn": role,
        "Tags": TAG,
    }
    made = stack.create(kind, **given)
    pipeline = sagemaker.describe_pipeline(PipelineName="training")
    assert (json.loads(pipeline["PipelineDefinition"]), pipeline["RoleArn"]) == (json.loads(definition("one")), role)
    assert as_map(sagemaker.list_tags(ResourceArn=pipeline["PipelineArn"])["Tags"]) == TAGS
    there = {"Bucket": stack.bucket, "Key": "definition.json"}
    new = {
        "PipelineName": "training",
        "PipelineDefinition": {"PipelineDefinitionS3Location": there},
        "RoleArn": role,
    }
    stack.update(kind, made, given, new)
    pipeline = sagemaker.describe_pipeline(PipelineName="training")
    assert json.loads(pipeline["PipelineDefinition"]) == json.loads(definition("two"))
    assert pipeline.get("PipelineDescription", "") == ""
    assert as_map(sagemaker.list_tags(ResourceArn=pipeline["PipelineArn"])["Tags"]) == {"team": "ml"}
    bad = {**new, "PipelineDefinition": {"PipelineDefinitionS3Location": {**there, "ETag": "x"}}, "PipelineName": "b"}
    assert "PipelineDefinitionS3Location ETag" in failure(stack.create, kind, **bad)
    stack.delete(kind, made)
    assert sagemaker.list_pipelines()["PipelineSummaries"] == []


def test_a_model_its_configuration_and_its_endpoint(stack: Stack) -> None:
    sagemaker, role = stack.client("sagemaker"), stack.role(allowed="*")
    modelled = {
        "PrimaryContainer": stack.container(),
        "ExecutionRoleArn": role,
        "EnableNetworkIsolation": "true",
        "VpcConfig": {"Subnets": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]},
        "Tags": TAG,
    }
    model = stack.create(MODEL, **modelled)
    name = model.attributes["ModelName"]
    assert re.fullmatch(r"MyModel-\w{12}", name)
    described = sagemaker.describe_model(ModelName=name)
    assert model.physical_id == described["ModelArn"]
    assert (described["EnableNetworkIsolation"], described["VpcConfig"]) == (True, modelled["VpcConfig"])
    assert as_map(sagemaker.list_tags(ResourceArn=model.physical_id)["Tags"]) == TAGS
    stack.update(MODEL, model, modelled, {**modelled, "Tags": []})
    assert as_map(sagemaker.list_tags(ResourceArn=model.physical_id)["Tags"]) == {"team": "ml"}
    assert failure(stack.create, MODEL, EnableNetworkIsolation="perhaps").endswith(
        "expected type: Boolean, found: String"
    )

    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": "1",
        "InitialVariantWeight": 1,
    }
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": "20",
        "DestinationS3Uri": "s3://a-bucket/x",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }
    key = stack.create("AWS::KMS::Key").attributes["Arn"]
    missing = {"ProductionVariants": [variant], "KmsKeyId": key[:-1] + "x"}
    assert error_of(stack.create, CONFIG, **missing) == "NotFoundException"
    configs = [
        stack.create(CONFIG, ProductionVariants=[variant], DataCaptureConfig=capture, KmsKeyId=key, Tags=TAG),
        stack.create(CONFIG, ProductionVariants=[variant], EndpointConfigName="second"),
    ]
    described = sagemaker.describe_endpoint_config(EndpointConfigName=configs[0].attributes["EndpointConfigName"])
    assert described["EndpointConfigArn"] == configs[0].physical_id
    assert described["DataCaptureConfig"] == {**capture, "InitialSamplingPercentage": 20}
    assert described["KmsKeyId"] == key
    [there] = described["ProductionVariants"]
    assert (there["ModelName"], there["InitialInstanceCount"]) == (name, 1)
    assert as_map(sagemaker.list_tags(ResourceArn=configs[0].physical_id)["Tags"]) == TAGS
    for config in configs:
        stack.delete(CONFIG, config)
    stack.delete(MODEL, model)
    assert (sagemaker.list_models()["Models"], sagemaker.list_endpoint_configs()["EndpointConfigs"]) == ([], [])


served = pytest.mark.skipif(
    find_spec("sagemaker_seed.rehearsal.services.sagemaker_endpoints") is None, reason="no endpoint would serve"
)


@pytest.mark.slow
@served
def test_an_endpoint(stack: Stack) -> None:
    sagemaker, role = stack.client("sagemaker"), stack.role(allowed="*")
    first, second = stack.endpoint_config(role), stack.endpoint_config(role)
    given = {"EndpointName": "endpoint", "EndpointConfigName": first, "Tags": TAG}
    made = stack.create(ENDPOINT, **given)
    endpoint = sagemaker.describe_endpoint(EndpointName="endpoint")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", first)
    assert made.physical_id == endpoint["EndpointArn"]
    assert made.attributes["EndpointName"] == "endpoint"
    assert as_map(sagemaker.list_tags(ResourceArn=made.physical_id)["Tags"]) == TAGS
    new = {"EndpointName": "endpoint", "EndpointConfigName": second, "RetainAllVariantProperties": "true"}
    stack.update(ENDPOINT, made, given, new)
    endpoint = sagemaker.describe_endpoint(EndpointName="endpoint")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", second)
    assert as_map(sagemaker.list_tags(ResourceArn=made.physical_id)["Tags"]) == {"team": "ml"}
    assert error_of(stack.create, ENDPOINT, **new) == "ValidationException"
    stack.delete(ENDPOINT, made)
    assert sagemaker.list_endpoints()["Endpoints"] == []


@pytest.mark.slow
@served
def test_an_endpoint_that_does_not_come_to_serve(stack: Stack) -> None:
    sagemaker, role = stack.client("sagemaker"), stack.role(allowed="*")
    good, bad = (
        stack.endpoint_config(role),
        stack.endpoint_config(role, "def model_fn(model_dir):\n    raise ValueError('no model')\n"),
    )
    reason = failure(stack.create, ENDPOINT, EndpointName="endpoint", EndpointConfigName=bad)
    assert reason.startswith("Endpoint endpoint is Failed: ")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    given = {"EndpointName": "endpoint", "EndpointConfigName": good}
    made = stack.create(ENDPOINT, **given)
    reason = failure(stack.update, ENDPOINT, made, given, {**given, "EndpointConfigName": bad})
    assert reason.startswith("The update of endpoint endpoint was rolled back: ")
    endpoint = sagemaker.describe_endpoint(EndpointName="endpoint")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", good)


# --- CloudWatch


def test_an_alarm_of_one_metric(stack: Stack) -> None:
    cloudwatch = stack.client("cloudwatch")
    given: dict[str, Any] = {
        "AlarmDescription": "p95",
        "Namespace": "AWS/SageMaker",
        "MetricName": "ModelLatency",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        "ExtendedStatistic": "p95",
        "Period": 60,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": "500000",
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "TreatMissingData": "notBreaching",
        "Tags": TAG,
    }
    made = stack.create(ALARM, **given)
    assert re.fullmatch(r"a-stack-MyAlarm-[A-Z0-9]{12}", made.physical_id)
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[made.physical_id])["MetricAlarms"]
    assert alarm["AlarmArn"] == made.attributes["Arn"]
    wanted = {**given, "Threshold": 500000.0}
    del wanted["Tags"]
    assert {name: alarm.get(name) for name in wanted} == wanted
    assert as_map(cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]) == TAGS
    new = {name: value for name, value in given.items() if name != "DatapointsToAlarm"} | {"Threshold": 7, "Tags": []}
    stack.update(ALARM, made, given, new)
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[made.physical_id])["MetricAlarms"]
    assert (alarm["Threshold"], alarm.get("DatapointsToAlarm")) == (7.0, None)
    assert as_map(cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]) == {"team": "ml"}
    assert (
        failure(stack.create, ALARM, **{**given, "AlarmName": made.physical_id}) == f"{made.physical_id} already exists"
    )
    stack.delete(ALARM, made)
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []


def test_an_alarm_of_an_expression(stack: Stack) -> None:
    stat = {
        "Stat": "Average",
        "Period": 60,
        "Metric": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
        },
    }
    metrics = [
        {"Id": "failed", "ReturnData": "false", "MetricStat": stat},
        {"Id": "percent", "Label": "in percent", "Expression": "failed * 100"},
    ]
    made = stack.create(
        ALARM, Metrics=metrics, ComparisonOperator="GreaterThanThreshold", Threshold=1, EvaluationPeriods=3
    )
    [alarm] = stack.client("cloudwatch").describe_alarms(AlarmNames=[made.physical_id])["MetricAlarms"]
    failed, percent = alarm["Metrics"]
    assert (failed["MetricStat"], failed["ReturnData"]) == (stat, False)
    assert (percent["Expression"], percent["Label"], percent["ReturnData"]) == ("failed * 100", "in percent", True)


def test_a_dashboard(stack: Stack) -> None:
    cloudwatch = stack.client("cloudwatch")
    body = json.dumps({"widgets": []})
    made = stack.create(DASHBOARD, DashboardName="d", DashboardBody=body)
    assert json.loads(cloudwatch.get_dashboard(DashboardName="d")["DashboardBody"]) == {"widgets": []}
    new = json.dumps({"widgets": [], "start": "-PT1H"})
    stack.update(
        DASHBOARD,
        made,
        {"DashboardName": "d", "DashboardBody": body},
        {"DashboardName": "d", "DashboardBody": new},
    )
    assert json.loads(cloudwatch.get_dashboard(DashboardName="d")["DashboardBody"])["start"] == "-PT1H"
    stack.delete(DASHBOARD, made)
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []


# --- Application Auto Scaling


def test_a_scalable_target_and_its_policy(stack: Stack) -> None:
    scaling = stack.client("application-autoscaling")
    identity = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": "endpoint/e/variant/AllTraffic",
    }
    given = {**identity, "MinCapacity": "1", "MaxCapacity": 3, "Tags": TAG}
    assert error_of(stack.create, TARGET, **given) == "ValidationException"
    stack.endpoint("e")
    target = stack.create(TARGET, **given)
    assert target.physical_id == "endpoint/e/variant/AllTraffic|sagemaker:variant:DesiredInstanceCount|sagemaker"
    tags = scaling.list_tags_for_resource(ResourceARN=target.attributes["ScalableTargetARN"])["Tags"]
    assert tags == TAGS
    stack.update(TARGET, target, given, {**given, "MaxCapacity": 4, "Tags": []})
    tags = scaling.list_tags_for_resource(ResourceARN=target.attributes["ScalableTargetARN"])["Tags"]
    assert tags == {"team": "ml"}
    [there] = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (there["MinCapacity"], there["MaxCapacity"]) == (1, 4)

    tracking = {
        "TargetValue": 1000,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": "60",
    }
    wanted = {
        "PolicyName": "invocations",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": target.physical_id,
        "TargetTrackingScalingPolicyConfiguration": tracking,
    }
    policy = stack.create(SCALING, **wanted)
    [there] = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy.ref == policy.attributes["Arn"] == there["PolicyARN"]
    found = there["TargetTrackingScalingPolicyConfiguration"]
    assert found == {**tracking, "TargetValue": 1000.0, "ScaleOutCooldown": 60}
    changed = {**wanted, "TargetTrackingScalingPolicyConfiguration": {**tracking, "TargetValue": 10}}
    stack.update(SCALING, policy, wanted, changed)
    [there] = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert there["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 10
    bad = {**wanted, "ScalingTargetId": "endpoint/e"}
    assert "'endpoint/e' is no scaling target's id" in failure(stack.create, SCALING, **bad)
    stack.delete(SCALING, policy, **changed)
    stack.delete(TARGET, target)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
