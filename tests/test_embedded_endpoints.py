"""Endpoints of the embedded AWS, through boto3: small models that really answer, and every way in which they fail."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from endpoint_support import CODE, IMAGE, REGION, SCRIPT, Stage, archive, error_of
from sagemaker_seed.rehearsal.embedded import EmbeddedAws


@pytest.fixture
def stage(aws: EmbeddedAws) -> Stage:
    return Stage(aws)


@pytest.fixture(scope="module")
def serving(aws: EmbeddedAws) -> Stage:
    """A stage whose endpoint serves a model, for tests that change nothing about it."""
    stage = Stage(aws)
    assert stage.serve(stage.model("one"))["EndpointStatus"] == "InService"
    return stage


def is_alive(process: int) -> bool:
    """Whether it runs; one that nobody has asked how it ended (a zombie) does not."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1] not in {"", "Z"}


def test_an_endpoint_comes_to_serve_is_described_and_goes_with_its_process(stage: Stage) -> None:
    tags = [{"Key": "stage", "Value": "test"}]
    config = stage.config(stage.model("one"))
    made = stage.sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName=config, Tags=tags)
    arn = f"arn:aws:sagemaker:{REGION}:{stage.account}:endpoint/endpoint"
    assert made["EndpointArn"] == arn
    assert stage.sagemaker.describe_endpoint(EndpointName="endpoint")["EndpointStatus"] == "Creating"
    seen = stage.settled()
    assert (seen["EndpointStatus"], seen["EndpointConfigName"]) == ("InService", config)
    assert "FailureReason" not in seen
    (variant,) = seen["ProductionVariants"]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == ("one", 2, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert stage.sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
    (listed,) = stage.sagemaker.list_endpoints(StatusEquals="InService", NameContains="ENDP")["Endpoints"]
    assert listed["EndpointName"] == "endpoint"
    process = stage.ask("pid")["said"]
    assert is_alive(process)
    assert f'Could not find endpoint "{arn}"' in stage.gone()
    assert not is_alive(process)
    assert "not found" in error_of(stage.ask)["Message"]


def test_what_the_model_is_told_and_what_the_caller_gets(serving: Stage) -> None:
    answer = serving.runtime.invoke_endpoint(
        EndpointName="endpoint", Body=b"hello world", ContentType="text/csv", Accept="text/plain"
    )
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "one")
    assert json.loads(answer["Body"].read()) == {
        "model": "one",
        "kind": "str",
        "content_type": "text/csv",
        "said": "world",
        "word": "hello",
        "accept": "text/plain",
    }
    told = serving.ask(ContentType="application/octet-stream")
    assert (told["kind"], told["accept"]) == ("bytes", "application/json")
    written = serving.runtime.invoke_endpoint(EndpointName="endpoint", Body=b"csv")
    assert (written["ContentType"], written["Body"].read()) == ("text/csv", b"1,2\n")
    attributed = serving.runtime.invoke_endpoint(EndpointName="endpoint", Body=b"attribute colour=red")
    assert attributed["CustomAttributes"] == "colour=red"


@pytest.mark.slow
def test_what_a_model_finds_in_its_environment(stage: Stage) -> None:
    environment = {**SCRIPT, "GREETING": "hello", "WEIGHTS": "/opt/ml/model/weights"}
    stage.serve(stage.model("open", environment=environment))
    found = stage.ask("environment")["said"]
    assert found["GREETING"] == "hello"
    assert found["WEIGHTS"] == found["SM_MODEL_DIR"] + "/weights"
    assert found["AWS_ENDPOINT_URL"] == stage.aws.url
    assert found["AWS_ACCESS_KEY_ID"] != stage.account
    stage.model("kept", EnableNetworkIsolation=True)
    stage.update(stage.config("kept"))
    assert not [name for name in stage.ask("environment")["said"] if name.startswith("AWS_") and name != "AWS_REGION"]


def test_errors_of_the_model(serving: Stage) -> None:
    failed = error_of(lambda: serving.ask("raise no luck"))
    assert (failed["Code"], failed["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert failed["OriginalStatusCode"] == 500
    assert failed["Message"].startswith('Received server error (500) from primary with message "<!doctype html>')
    assert f"/aws/sagemaker/Endpoints/endpoint in account {serving.account}" in failed["Message"]
    assert any("ValueError: no luck" in line for line in serving.log("no luck"))
    refused = error_of(lambda: serving.ask("refuse 415"))
    assert (refused["OriginalStatusCode"], refused["OriginalMessage"]) == (415, "{}")
    assert refused["Message"].startswith("Received client error (415) from primary")
    assert serving.ask()["model"] == "one"


def test_requests_that_reach_no_model(serving: Stage) -> None:
    missing = error_of(lambda: serving.ask(endpoint="other"))
    assert (missing["Code"], missing["Message"]) == (
        "ValidationError",
        f"Endpoint other of account {serving.account} not found.",
    )
    assert "no variant two" in error_of(lambda: serving.ask(TargetVariant="two"))["Message"]
    foreign = Stage(serving.aws)
    assert error_of(foreign.ask)["Message"] == f"Endpoint endpoint of account {foreign.account} not found."
    assert "less than or equal to 6291456" in error_of(lambda: serving.ask("x" * (6 * 1024 * 1024 + 1)))["Message"]
    assert serving.ask("x" * (6 * 1024 * 1024))["word"].count("x") == 6 * 1024 * 1024
    for name, value in {"TargetModel": "a.tar.gz", "InferenceComponentName": "c", "SessionId": "NEW_SESSION"}.items():
        refused = error_of(lambda name=name, value=value: serving.ask(**{name: value}))  # type: ignore[misc]
        assert (refused["Code"], name in refused["Message"]) == ("NotImplementedByEmbeddedAws", True)


def test_several_invocations_at_once(serving: Stage) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(serving.ask, ["sleep 0.3"] * 8))
    assert len(answers) == 8
    assert time.monotonic() - began < 1.5


@pytest.mark.slow
def test_a_model_that_dies_answers_nothing_more(stage: Stage) -> None:
    stage.serve(stage.model("one"))
    died = error_of(lambda: stage.ask("exit"))
    assert (died["Code"], died["OriginalStatusCode"]) == ("ModelError", 0)
    assert error_of(stage.ask)["Code"] == "ModelError"
    stage.gone()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def model_fn(model_dir):\n    raise OSError('no weights here')\n", "OSError: no weights here"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("def input_fn(body, content_type):\n    return body\n", "Please provide a model_fn implementation."),
        (f"{CODE}\ndef transform_fn(*given):\n    return given\n", "Cannot use transform_fn"),
        ("raise SystemExit(7)\n", ""),
    ],
    ids=["its load", "its import", "without model_fn", "both kinds of functions", "it ends"],
)
def test_a_model_that_does_not_come_up(stage: Stage, code: str, said: str) -> None:
    seen = stage.serve(stage.model("bad", code))
    assert seen["EndpointStatus"] == "Failed"
    assert seen["FailureReason"].startswith(
        "The primary container for production variant bad did not pass the ping health check. Please check CloudWatch "
        "logs for this endpoint."
    )
    if said:
        assert said in seen["FailureReason"]
        stage.log(said)
    assert "not found" in error_of(stage.ask)["Message"]
    assert "in the status Failed" in error_of(lambda: stage.update(seen["EndpointConfigName"]))["Message"]
    stage.gone()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({**SCRIPT, "SAGEMAKER_PROGRAM": ""}, "Empty module name"),
        ({"SAGEMAKER_PROGRAM": "inference.py"}, "No module named 'inference'"),
        ({**SCRIPT, "SAGEMAKER_PROGRAM": "other.py"}, "No module named 'other'"),
    ],
    ids=["an empty program", "no place of the code", "another program"],
)
def test_an_environment_that_names_no_code(stage: Stage, environment: dict[str, str], said: str) -> None:
    seen = stage.serve(stage.model("bad", environment=environment))
    assert (seen["EndpointStatus"], said in seen["FailureReason"]) == ("Failed", True)


@pytest.mark.slow
def test_code_that_is_not_with_the_model_is_fetched_unless_the_network_is_closed(stage: Stage) -> None:
    code = archive({"inference.py": CODE})
    stage.s3.put_object(Bucket=stage.bucket, Key="code/sourcedir.tar.gz", Body=code)
    environment = {**SCRIPT, "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{stage.bucket}/code/sourcedir.tar.gz"}
    stage.serve(stage.model("apart", code="raise ImportError\n", environment=environment))
    assert stage.ask()["model"] == "apart"
    seen = stage.update(stage.config(stage.model("closed", environment=environment, EnableNetworkIsolation=True)))
    assert "cannot be fetched by a container in network isolation" in seen["FailureReason"]


@pytest.mark.slow
def test_requirements_that_are_not_met_are_named(stage: Stage) -> None:
    met = stage.data("met", **{"code/requirements.txt": "# tools\nflask>=2\nno-such-package; python_version < '3'\n"})
    assert stage.serve(stage.model("met", data=met))["EndpointStatus"] == "InService"
    unmet = stage.data("unmet", **{"code/requirements.txt": "flask<1\nno-such-package==1.0\n"})
    seen = stage.update(stage.config(stage.model("unmet", data=unmet)))
    assert "is not installed here: flask<1, no-such-package==1.0" in seen["FailureReason"]


@pytest.mark.slow
def test_data_that_is_gone_or_no_archive_when_the_endpoint_is_made(stage: Stage) -> None:
    stage.model("gone")
    stage.s3.delete_object(Bucket=stage.bucket, Key="gone/model.tar.gz")
    reason = stage.serve("gone")["FailureReason"]
    assert reason.startswith('Failed to download model data for container "container_1" from URL: "s3://models-')
    stage.gone()
    stage.model("text")
    stage.s3.put_object(Bucket=stage.bucket, Key="text/model.tar.gz", Body=b"no archive")
    assert "valid tar.gz archive" in stage.serve("text")["FailureReason"]


@pytest.mark.slow
def test_an_update_changes_the_model_and_no_invocation_fails_meanwhile(stage: Stage) -> None:
    stage.serve(stage.model("one"))
    old = stage.ask("pid")["said"]
    done, heard = [False], []

    def ask_on() -> None:
        while not done[0]:
            heard.append(stage.ask("sleep 0.02")["model"])

    config = stage.config(stage.model("two"))
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask_on) for _ in range(2)]
        long = pool.submit(stage.ask, "sleep 2")
        seen = stage.update(config)
        after = stage.ask()["model"]
        done[0] = True
        for one in asking:
            one.result()
    assert (seen["EndpointStatus"], seen["EndpointConfigName"], after) == ("InService", config, "two")
    assert "FailureReason" not in seen
    assert heard[0] == "one"
    assert long.result()["model"] == "one"
    for _ in range(200):
        if not is_alive(old):
            break
        time.sleep(0.02)
    assert not is_alive(old)


@pytest.mark.slow
def test_an_update_that_fails_leaves_the_endpoint_as_it_was(stage: Stage) -> None:
    before = stage.serve(stage.model("one"))
    config = stage.config(stage.model("bad", "def model_fn(model_dir):\n    raise OSError('no weights')\n"))
    stage.sagemaker.update_endpoint(EndpointName="endpoint", EndpointConfigName=config)
    seen = stage.sagemaker.describe_endpoint(EndpointName="endpoint")
    assert (seen["EndpointStatus"], seen["PendingDeploymentSummary"]["EndpointConfigName"]) == ("Updating", config)
    for refused in (
        lambda: stage.update(config),
        lambda: stage.sagemaker.delete_endpoint(EndpointName="endpoint"),
    ):
        assert error_of(refused)["Message"].startswith("Cannot update in-progress endpoint")
    assert stage.ask()["model"] == "one"
    after = stage.settled()
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", before["EndpointConfigName"])
    assert "did not pass the ping health check" in after["FailureReason"]
    assert "PendingDeploymentSummary" not in after
    assert stage.ask()["model"] == "one"
    stage.model("two")
    assert "FailureReason" not in stage.update(stage.config("two"))


def guarded(kind: str, wait: int, *alarms: str) -> dict[str, Any]:
    member = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}[kind]
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, member: {"Type": "CAPACITY_PERCENT", "Value": 25}}
    deployment: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    if alarms:
        deployment["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return deployment


def alarm(stage: Stage, name: str) -> Any:
    cloudwatch = stage.aws.client("cloudwatch", stage.account)
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="Invocation5XXErrors",
        Namespace="AWS/SageMaker",
        Period=60,
        Statistic="Average",
        Threshold=1,
    )
    return cloudwatch


@pytest.mark.slow
def test_a_canary_gets_its_share_and_an_alarm_takes_it_back(stage: Stage) -> None:
    before = stage.serve(stage.model("one"))
    cloudwatch = alarm(stage, "errors")
    config, deployment = stage.config(stage.model("two")), guarded("CANARY", 1200, "errors")
    stage.sagemaker.update_endpoint(EndpointName="endpoint", EndpointConfigName=config, DeploymentConfig=deployment)
    while stage.ask()["model"] == "one":
        assert stage.sagemaker.describe_endpoint(EndpointName="endpoint")["EndpointStatus"] == "Updating"
    assert [stage.ask()["model"] for _ in range(8)].count("two") == 2
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="too many")
    seen = stage.settled()
    assert (seen["EndpointStatus"], seen["EndpointConfigName"]) == ("InService", before["EndpointConfigName"])
    assert "rolled back: alarms in the state ALARM: errors" in seen["FailureReason"]
    assert {stage.ask()["model"] for _ in range(8)} == {"one"}
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="none")
    seen = stage.update(config, DeploymentConfig=guarded("LINEAR", 30, "errors"))
    assert (seen["EndpointConfigName"], "FailureReason" in seen) == (config, False)
    assert seen["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "LINEAR"
    assert {stage.ask()["model"] for _ in range(4)} == {"two"}


def test_deployments_that_are_refused(serving: Stage) -> None:
    config = serving.sagemaker.describe_endpoint(EndpointName="endpoint")["EndpointConfigName"]
    wrong = guarded("CANARY", 60)
    wrong["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["CanarySize"]["Value"] = 51
    odd = guarded("CANARY", 60)
    odd["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] = "LINEAR"
    late = guarded("LINEAR", 600)
    late["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50}}}
    rolling["RollingUpdatePolicy"]["WaitIntervalInSeconds"] = 0  # type: ignore[assignment]
    for deployment, said in (
        (guarded("CANARY", 60, "none"), "do not exist: none"),
        (wrong, "CanarySize must be from 1 to 50 percent, and is 51"),
        (odd, "CanarySize belongs to the traffic routing type CANARY"),
        (late, "must be more than all waits together"),
        (rolling, "no rolling updates"),
    ):
        refused = error_of(lambda given=deployment: serving.update(config, DeploymentConfig=given))  # type: ignore[misc]
        assert said in refused["Message"]
    assert serving.settled()["EndpointStatus"] == "InService"


@pytest.mark.slow
def test_variants_share_by_weight_and_keep_what_an_update_retains(stage: Stage) -> None:
    stage.serve(stage.model("one"), stage.model("two"), weights=(3, 1))
    assert [stage.ask()["model"] for _ in range(8)].count("two") == 2
    assert {stage.ask(TargetVariant="two")["model"] for _ in range(3)} == {"two"}
    wanted = [{"VariantName": "two", "DesiredWeight": 0, "DesiredInstanceCount": 5}]
    stage.sagemaker.update_endpoint_weights_and_capacities(EndpointName="endpoint", DesiredWeightsAndCapacities=wanted)
    assert {stage.ask()["model"] for _ in range(8)} == {"one"}
    unknown = [{"VariantName": "three", "DesiredWeight": 1}]
    assert (
        '"three" is/are not present'
        in error_of(
            lambda: stage.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName="endpoint", DesiredWeightsAndCapacities=unknown
            )
        )["Message"]
    )
    config = stage.config("one", "two", weights=(1, 1))
    excluded = [{"VariantPropertyType": "DesiredWeight"}]
    seen = stage.update(config, RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=excluded)
    now = {v["VariantName"]: (v["CurrentWeight"], v["CurrentInstanceCount"]) for v in seen["ProductionVariants"]}
    assert now == {"one": (1.0, 2), "two": (1.0, 5)}
    assert [stage.ask()["model"] for _ in range(8)].count("two") == 4


@pytest.mark.slow
def test_captured_invocations_are_in_s3(stage: Stage) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": f"s3://{stage.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    }
    seen = stage.serve(stage.model("one"), DataCaptureConfig=capture)
    assert (seen["DataCaptureConfig"]["CaptureStatus"], seen["DataCaptureConfig"]["CurrentSamplingPercentage"]) == (
        "Started",
        50,
    )
    for number in range(4):
        stage.ask(f"number {number}", ContentType="text/csv", InferenceId=f"id-{number}")
    error_of(lambda: stage.ask("raise an error"))
    stage.gone()
    found = stage.s3.list_objects_v2(Bucket=stage.bucket, Prefix="captured/endpoint/one/2")["Contents"]
    text = "".join(stage.s3.get_object(Bucket=stage.bucket, Key=o["Key"])["Body"].read().decode() for o in found)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["captureData"]["endpointInput"]["data"] for line in lines] == ["number 1", "number 3"]
    assert lines[0]["eventMetadata"]["inferenceId"] == "id-1"
    output = lines[0]["captureData"]["endpointOutput"]
    assert (output["encoding"], json.loads(output["data"])["said"]) == ("JSON", "1")


@pytest.mark.slow
def test_names_that_are_taken_or_unknown(stage: Stage) -> None:
    config = stage.config(stage.model("one"))
    stage.sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName=config)
    assert "Cannot create already existing model" in error_of(lambda: stage.model("one"))["Message"]
    variants = stage.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
    for call, said in (
        (
            lambda: stage.sagemaker.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants),
            "Cannot create already existing endpoint configuration",
        ),
        (
            lambda: stage.sagemaker.create_endpoint(EndpointName="endpoint", EndpointConfigName=config),
            "Cannot create already existing endpoint",
        ),
        (
            lambda: stage.sagemaker.create_endpoint(EndpointName="other", EndpointConfigName="none"),
            "Could not find endpoint configuration",
        ),
        (lambda: stage.config("none"), "Could not find model"),
        (lambda: stage.sagemaker.describe_model(ModelName="none"), "Could not find model"),
        (lambda: stage.sagemaker.delete_endpoint(EndpointName="none"), "Could not find endpoint"),
        (
            lambda: stage.sagemaker.create_endpoint(EndpointName="un_fit", EndpointConfigName=config),
            "'endpointName' failed to satisfy constraint",
        ),
    ):
        refused = error_of(call)
        assert (refused["Code"], said in refused["Message"]) == ("ValidationException", True)
    assert stage.settled()["EndpointStatus"] == "InService"
    stage.sagemaker.delete_model(ModelName="one")
    assert stage.ask()["model"] == "one"
    assert "Could not find model" in error_of(lambda: stage.update(config))["Message"]


@pytest.mark.slow
def test_a_model_whose_role_or_data_is_not_there(stage: Stage) -> None:
    other = stage.role.replace("role/model", "role/none")
    assert f"Could not assume role {other}" in error_of(lambda: stage.model("one", ExecutionRoleArn=other))["Message"]
    missing = error_of(lambda: stage.model("two", data=f"s3://{stage.bucket}/none.tar.gz"))
    assert missing["Message"].startswith(f"Could not access model data at s3://{stage.bucket}/none.tar.gz.")
    foreign = Stage(stage.aws)
    data = foreign.data("theirs")
    assert "Could not access model data" in error_of(lambda: stage.model("three", data=data))["Message"]
    assert stage.sagemaker.list_models()["Models"] == []


VARIANT = {"VariantName": "v", "ModelName": "one", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        (
            "create_model",
            {"Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://b/k"}] * 2},
            "inference pipelines",
        ),
        ("create_model", {"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}}, "several models"),
        ("create_model", {"PrimaryContainer": {"Image": "own:1"}}, "cannot run the image own:1"),
        (
            "create_endpoint_config",
            {"ProductionVariants": [{**VARIANT, "ManagedInstanceScaling": {"Status": "ENABLED"}}]},
            "ManagedInstanceScaling",
        ),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(
    serving: Stage, method: str, given: dict[str, Any], said: str
) -> None:
    name = {"create_model": "ModelName", "create_endpoint_config": "EndpointConfigName"}[method]
    more = {"ExecutionRoleArn": serving.role} if method == "create_model" else {}
    refused = error_of(lambda: getattr(serving.sagemaker, method)(**{name: "refused"}, **more, **given))
    assert refused["Code"] == "NotImplementedByEmbeddedAws"
    assert said in refused["Message"]


class Registered:
    """A model package in a registry account, whose bucket lets everybody of `stage` read."""

    def __init__(self, stage: Stage, owner: Stage) -> None:
        self.owner = owner
        owner.sagemaker.create_model_package_group(ModelPackageGroupName="group")
        container = {
            "Image": IMAGE,
            "ModelDataUrl": owner.data("packaged"),
            "Environment": {**SCRIPT, "A": "1", "B": "1"},
        }
        self.arn = owner.sagemaker.create_model_package(
            ModelPackageGroupName="group",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        reading = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{stage.account}:root"},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{owner.bucket}", f"arn:aws:s3:::{owner.bucket}/*"],
        }
        policy = {"Version": "2012-10-17", "Statement": [reading]}
        owner.s3.put_bucket_policy(Bucket=owner.bucket, Policy=json.dumps(policy))

    def approve(self, status: str = "Approved") -> None:
        self.owner.sagemaker.update_model_package(ModelPackageArn=self.arn, ModelApprovalStatus=status)

    def share(self, account: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": ["sagemaker:DescribeModelPackage", "sagemaker:CreateModel"],
            "Resource": f"{self.arn.rpartition('/')[0]}/*",
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.owner.sagemaker.put_model_package_group_policy(ModelPackageGroupName="group", ResourcePolicy=policy)


def from_package(stage: Stage, arn: str, **environment: str) -> Any:
    container: dict[str, Any] = {"ModelPackageName": arn}
    if environment:
        container["Environment"] = environment
    return stage.sagemaker.create_model(ModelName="packaged", ExecutionRoleArn=stage.role, PrimaryContainer=container)


def test_a_model_of_a_package_that_is_approved(stage: Stage) -> None:
    package = Registered(stage, stage)
    assert "approval status is PendingManualApproval" in error_of(lambda: from_package(stage, package.arn))["Message"]
    package.approve("Rejected")
    assert "approval status is Rejected" in error_of(lambda: from_package(stage, package.arn))["Message"]
    package.approve()
    from_package(stage, package.arn, B="2")
    described = stage.sagemaker.describe_model(ModelName="packaged")
    assert described["PrimaryContainer"]["ModelPackageName"] == package.arn
    assert described["EnableNetworkIsolation"] is False
    stage.serve("packaged")
    found = stage.ask("environment")
    assert (found["model"], found["said"]["A"], found["said"]["B"]) == ("packaged", "1", "2")
    missing = package.arn.rpartition("/")[0] + "/7"
    assert f"Could not find model package {missing}" in error_of(lambda: from_package(stage, missing))["Message"]


@pytest.mark.slow
def test_a_model_of_another_accounts_package_needs_the_groups_policy(stage: Stage) -> None:
    package = Registered(stage, Stage(stage.aws))
    package.approve()
    for let_in in ("", "999999999999"):
        if let_in:
            package.share(let_in)
        refused = error_of(lambda: from_package(stage, package.arn))
        assert refused["Code"] == "AccessDeniedException"
        assert f"sagemaker:CreateModel on resource: {package.arn}" in refused["Message"]
    package.share(stage.account)
    from_package(stage, package.arn)
    stage.serve("packaged")
    assert stage.ask()["model"] == "packaged"


@pytest.mark.slow
def test_every_model_ends_with_the_embedded_aws() -> None:
    with EmbeddedAws(region=REGION) as aws:
        stage = Stage(aws)
        stage.serve(stage.model("one"))
        process = stage.ask("pid")["said"]
        assert is_alive(process)
    assert not is_alive(process)
