"""The summary before an approval: what it says of models, configuration and cost; and calls that AWS throttles."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from seed_support.baking import GROUP, PROJECT, PROJECT_ID, REGION, TEMPLATE, bake, build_environment, run, run_build
from seed_support.registry import Registry

ARN = f"arn:aws:sagemaker:{REGION}:111111111111:model-package/{GROUP}"
PRICES = json.loads((TEMPLATE / "approval" / "prices.json").read_text())


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    """approval/summary.py and approval/presenting.py; what they import of the seed is forgotten again."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(TEMPLATE / "approval"), str(TEMPLATE), *sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)
        yield importlib.import_module("summary"), importlib.import_module("presenting")
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"deploy", "presenting", "summary"}:
            del sys.modules[name]


@pytest.fixture
def summary(modules: tuple[ModuleType, ModuleType]) -> ModuleType:
    return modules[0]


@pytest.fixture
def page(modules: tuple[ModuleType, ModuleType]) -> ModuleType:
    return modules[1]


def found(**changed: Any) -> dict[str, Any]:
    """A summary of a second version, in which some parts are changed."""
    model = {"group": GROUP, "metric": "f1", "metrics": {}, "approval": "Approved", "trained_from": "c0"}
    return {
        "made": "2026-11-21T10:00:00+00:00",
        "project": GROUP,
        "stage": "staging",
        "following": "prod",
        "execution": "e-1",
        "model": {**model, "package": f"{ARN}/2", "version": 2},
        "deployed": {**model, "package": f"{ARN}/1", "version": 1},
        "metrics": [
            {"name": "accuracy", "new": 0.9, "deployed": 0.95, "better": False},
            {"name": "f1", "new": 0.97, "deployed": 0.95, "better": True},
        ],
        "changes": {"stack": "s", "stack_status": "CREATE_COMPLETE", "parameters": [], "template": [], "resources": []},
        "tests": {
            "outcome": "passed",
            "counts": {"passed": 1},
            "checks": [{"name": "latency", "outcome": "passed", "message": "p95 5 ms"}],
            "measurements": {},
        },
        "commit": {"id": "0123456789", "author": "Zoë", "date": "", "message": "Mend #{it.all} <b>"},
        "cost": {
            "planned": {"instance_type": "ml.m5.large", "least": 83.95, "most": 167.9},
            "deployed": {"problem": "unheard of"},
            "stage_region": REGION,
            **PRICES,
        },
        **changed,
    }


def test_the_gist_says_it_in_one_line(page: ModuleType) -> None:
    assert page.gist(found()) == (
        f"{GROUP} version 2 to prod? It serves version 1 now. "
        "prod: f1 0.95 -> 0.97, better, accuracy 0.95 -> 0.9, worse. "
        "Tests in staging: passed, 1 of 1 checks. Configuration and template do not change. "
        "Cost a month: 83.95 to 167.90 USD (now not known: unheard of), "
        f"by the prices of us-east-1, {PRICES['date']}. "
        "Commit 01234567 by Zo?: Mend # {it.all} <b>"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"deployed": {"nothing": True}}, "Nothing is in prod yet."),
        ({"deployed": {"problem": "cannot be read: AccessDenied"}}, "serves now cannot be read: AccessDenied."),
        ({"deployed": {"package": f"{ARN.upper()}/2", "version": 2}}, "It serves that version already."),
        ({"model": {"problem": "cannot be read: gone"}, "metrics": []}, "The model for prod cannot be read: gone."),
        ({"tests": {"problem": "test-results.json cannot be read"}}, "Tests in staging: test-results.json cannot"),
        ({"changes": {"problem": "cannot be read: AccessDenied"}}, "What changes cannot be read: AccessDenied."),
        ({"commit": {"problem": "the run was not told"}}, "Commit: the run was not told."),
    ],
)
def test_what_is_not_known_is_said(page: ModuleType, changed: dict[str, Any], said: str) -> None:
    assert said in page.gist(found(**changed))
    assert "<main>" in page.html(found(**changed))


def test_what_was_measured_is_said(page: ModuleType) -> None:
    latency = {"p50_ms": 3.1, "p95_ms": 7.5, "requests": 40, "errors": 0}
    quality = {"metric": "f1", "value": 0.93333, "registered": 0.95, "tolerance": 0.05, "rows": 30}
    comparison = {"stage": "prod", "metric": "f1", "value": 0.9, "rows": 30, "different": 2}
    measured = {"latency": latency, "quality": quality, "comparison": comparison}
    tests = found()["tests"] | {"measurements": measured, "counts": {"passed": 1, "skipped": 2}}
    said = page.gist(found(tests=tests))
    assert "Tests in staging: passed, 1 of 1 checks, 2 skipped; p50" in said
    assert "the model in prod has f1 0.9 on the same 30 rows, and answers 2 of them differently" in page.html(
        found(tests=tests)
    )
    assert "p50 3.1 ms, p95 7.5 ms over 40 requests, 0 failed; f1 0.9333 on 30 rows (registered 0.95)." in said


def test_the_gist_is_never_longer_than_the_pipeline_takes(page: ModuleType) -> None:
    parameters = [{"name": f"Parameter{n}" * 20, "from": "", "to": "1"} for n in range(50)]
    gist = page.gist(
        found(
            changes=found()["changes"] | {"parameters": parameters}, commit=found()["commit"] | {"message": "é" * 999}
        )
    )
    assert page.MAX_GIST - 6 <= len(gist) <= page.MAX_GIST
    assert gist.isascii()
    # Only what is longest is cut: the rest is said.
    assert "Changes: parameters Parameter0Parameter0" in gist
    assert f"by the prices of us-east-1, {PRICES['date']}. Commit 01234567 by Zo?: ????" in gist


def test_a_production_account_that_refuses_hides_neither_cost_nor_commit(page: ModuleType) -> None:
    refused = {"problem": f"cannot be read: AssumeRole: AccessDenied: {'x' * 600}; give the role that permission"}
    gist = page.gist(found(deployed=refused, changes=refused))
    assert len(gist) <= page.MAX_GIST
    for said in (
        "What prod serves now cannot be read: AssumeRole: AccessDenied",
        "What changes cannot be read: AssumeRole: AccessDenied",
        "Tests in staging: passed, 1 of 1 checks.",
        "Cost a month: 83.95 to 167.90 USD",
        "Commit 01234567 by Zo?: Mend",
    ):
        assert said in gist


def test_a_shadow_is_named_as_one(page: ModuleType) -> None:
    summary = found(shadow_of=f"{ARN}/1")
    said = f"{GROUP} version 2 to prod, as the shadow of version 1?"
    assert page.gist(summary).startswith(f"{said} It serves version 1 now. prod: f1 0.95 -> 0.97, better")
    assert f"<h1>{said}</h1>" in page.html(summary)


def test_the_page_has_room_for_many_tests(page: ModuleType) -> None:
    check = {"name": "test_a.py::test_b", "outcome": "passed", "message": '"' * 1000}
    html = page.html(found(tests=found()["tests"] | {"checks": [check] * 5000}))
    assert "and 4700 more, which are in the test report" in html
    assert len(html.encode()) < 1_000_000


def test_the_page_shows_text_as_text_and_needs_nothing_else(page: ModuleType) -> None:
    html = page.html(found())
    assert "Mend #{it.all} &lt;b&gt;" in html
    assert not any(word in html for word in ("<script", "src=", "href=", "url(", "@import"))


def test_nothing_of_a_summary_becomes_markup(page: ModuleType) -> None:
    def infected(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: infected(one) for name, one in value.items()}
        if isinstance(value, list):
            return [infected(one) for one in value]
        return f'{value}"><script>alert(1)</script>' if isinstance(value, str) else value

    part = {"section": "Resources", "name": "Model", "change": "changed", "type": "AWS::SageMaker::Model"}
    parameter = {"name": "Count", "from": "1", "to": "2"}
    changes = found()["changes"] | {"parameters": [parameter], "template": [part], "resources": [part]}
    problem = {"problem": "cannot be read"}
    for summary in (found(changes=changes), found(changes=problem, commit=problem, tests=problem, deployed=problem)):
        html = page.html(infected(summary))
        assert "<script" not in html
        assert html.count("&lt;script&gt;") > 10
        assert "Content-Security-Policy" in html


@pytest.mark.parametrize(
    ("name", "new", "old", "better"),
    [
        ("accuracy", 0.9, 0.8, True),
        ("accuracy", 0.8, 0.9, False),
        ("log_loss", 0.2, 0.3, True),
        ("rmse", 2.0, 1.0, False),
        ("f1", 0.5, 0.5, None),
        ("f1", 0.5, None, None),
    ],
)
def test_which_of_two_figures_is_better_depends_on_the_metric(
    summary: ModuleType, name: str, new: float, old: float | None, better: bool | None
) -> None:
    (row,) = summary.compared({name: new}, {} if old is None else {name: old})
    assert row == {"name": name, "new": new, "deployed": old, "better": better}


def test_figures_are_read_from_an_evaluation_and_from_sagemakers_model_quality(summary: ModuleType) -> None:
    assert summary.figures({"metrics": {"f1": 1, "what": "text", "flag": True}}) == {"f1": 1.0}
    quality = {"accuracy": {"value": 0.9, "standard_deviation": "NaN"}, "confusion_matrix": {"a": {"a": 1}}}
    assert summary.figures({"multiclass_classification_metrics": quality}) == {"accuracy": 0.9}
    with pytest.raises(ValueError, match="not a JSON object"):
        summary.figures([])


TEMPLATE_BEFORE = """Parameters:
  Count:
    Type: Number
Conditions:
  Several: !Not [!Equals [!Ref Count, 1]]
Resources:
  Model:
    Type: AWS::SageMaker::Model
  # a remark
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      Copies: !If [Several, 2, 1]
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties:
      Config: !GetAtt Config.Name
"""


def test_the_parts_of_a_template_are_told_apart(summary: ModuleType) -> None:
    parts = summary.blocks(TEMPLATE_BEFORE)
    assert list(parts) == [
        ("Parameters", "Count"),
        ("Conditions", "Several"),
        *(("Resources", name) for name in ("Model", "Config", "Endpoint")),
    ]
    assert parts["Resources", "Model"] == "  Model:\n    Type: AWS::SageMaker::Model"
    assert summary.blocks(TEMPLATE_BEFORE.replace("a remark", "another")) == parts
    as_json = {"Description": "text", "Resources": {"Model": {"Type": "AWS::SageMaker::Model"}}}
    assert list(summary.blocks(json.dumps(as_json))) == [("Resources", "Model")]


def test_a_change_reaches_what_refers_to_it(summary: ModuleType) -> None:
    parts = summary.blocks(TEMPLATE_BEFORE)
    assert [resource["name"] for resource in summary.touched(parts, {"Count"})] == ["Config", "Endpoint"]
    assert summary.touched(parts, {"Model"}) == [
        {"name": "Model", "type": "AWS::SageMaker::Model", "change": "changed"}
    ]
    assert summary.touched(parts, set()) == []


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"EndpointInstanceType": "ml.m5.large"}, (83.95, 83.95)),
        ({"EndpointInstanceType": "ml.m5.large", "EndpointInstanceCount": "3"}, (251.85, 251.85)),
        (
            {
                "EndpointInstanceType": "ml.m5.large",
                "EndpointInstanceCount": "2",
                "AutoscalingMinCapacity": "1",
                "AutoscalingMaxCapacity": "4",
            },
            (83.95, 335.8),
        ),
        (
            {
                "EndpointInstanceType": "ml.m5.large",
                "EndpointInstanceCount": "2",
                "ShadowModelPackageName": "arn",
                "AutoscalingMinCapacity": "1",
                "AutoscalingMaxCapacity": "0",
            },
            (335.8, 335.8),
        ),
        ({"EndpointInstanceType": "ml.x9.large"}, "ml.x9.large is not in the price table of"),
        ({}, "it costs what is used"),
        ({"ServerlessMemoryMB": "2048", "ServerlessProvisionedConcurrency": "0"}, "it costs what is used"),
        ({"ServerlessProvisionedConcurrency": "1"}, "the price table has none of provisioned concurrency"),
    ],
)
def test_the_cost_comes_from_the_table_or_is_not_known(
    summary: ModuleType, parameters: dict[str, str], expected: tuple[float, float] | str
) -> None:
    cost = summary.cost(parameters, PRICES)
    if isinstance(expected, str):
        assert expected in cost["problem"]
    else:
        assert (cost["least"], cost["most"]) == expected


def test_a_date_of_a_commit_is_read(summary: ModuleType) -> None:
    assert summary.moment("1484167798 -0800") == "2017-01-11 12:49:58-08:00"
    assert summary.moment("yesterday") == "yesterday"


def test_the_price_table_says_where_it_is_from() -> None:
    assert PRICES["date"][:4] >= "2025"
    assert "not read from AWS's own list" in PRICES["source"]
    assert {"region", "currency", "hours_per_month"} <= PRICES.keys()
    assert all(0 < price < 200 for price in PRICES["per_instance_hour"].values())


def test_the_link_is_of_the_partition_and_does_not_expire(summary: ModuleType) -> None:
    for region, host in (
        ("eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ):
        subject = summary.Subject(region, "bucket", "staging", "prod", None, "", Path("r"), "", "", "e")
        expected = f"https://{host}/s3/object/bucket?region={region}&prefix=approvals/a%20b.html"
        assert summary.link(subject, "approvals/a b.html") == expected


def refusal(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Stage:
    """Fakes of CloudFormation and SageMaker in the next stage: a stack, and an endpoint that it has made."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, stack: str, *, endpoint: bool = True, refuses: bool = False) -> None:
        self.stack, self.endpoint, self.refuses = stack, endpoint, refuses

    def describe_stacks(self, StackName: str) -> Any:
        if self.refuses:
            raise refusal("DescribeStacks", "AccessDenied", "no")
        if StackName != self.stack:
            raise refusal("DescribeStacks", "ValidationError", f"Stack with id {StackName} does not exist")
        parameters = [{"ParameterKey": "Count", "ParameterValue": "1"}]
        return {
            "Stacks": [
                {"StackName": StackName, "StackId": "id", "StackStatus": "UPDATE_COMPLETE", "Parameters": parameters}
            ]
        }

    def get_template(self, StackName: str, TemplateStage: str) -> Any:
        assert (StackName, TemplateStage) == ("id", "Original")
        return {"TemplateBody": TEMPLATE_BEFORE}

    def describe_endpoint(self, EndpointName: str) -> Any:
        if not self.endpoint:
            raise refusal("DescribeEndpoint", "ValidationException", f"Could not find endpoint {EndpointName}")
        return {"EndpointArn": f"arn:endpoint/{EndpointName}"}

    def list_tags(self, ResourceArn: str) -> Any:
        assert ResourceArn == f"arn:endpoint/{GROUP}-prod"
        return {"Tags": [{"Key": "aws:cloudformation:stack-name", "Value": self.stack}]}


def planned(summary: ModuleType, template: str = TEMPLATE_BEFORE, count: str = "1") -> Any:
    parameters = {"SageMakerProjectName": PROJECT, "SageMakerProjectId": PROJECT_ID, "Count": count}
    export = summary.Export(parameters)
    return summary.Subject(REGION, "bucket", "staging", "prod", export, template, Path("r"), "", "", "e")


@pytest.mark.parametrize("name", [f"sagemaker-{GROUP}-prod", f"StackSet-sagemaker-{GROUP}-prod-0a1b"])
def test_what_changes_is_found_whoever_named_the_stack(summary: ModuleType, name: str) -> None:
    stage = Stage(name)
    clients = summary.Clients(None, lambda _: stage)
    grown = TEMPLATE_BEFORE + "  Alarm:\n    Type: AWS::CloudWatch::Alarm\n"
    found = summary.changes(planned(summary, grown, "2"), clients)
    assert (found["stack"], found["stack_status"]) == (name, "UPDATE_COMPLETE")
    assert {"name": "Count", "from": "1", "to": "2"} in found["parameters"]
    assert found["template"] == [{"section": "Resources", "name": "Alarm", "change": "added"}]
    assert [resource["name"] for resource in found["resources"]] == ["Config", "Endpoint", "Alarm"]


def test_a_stage_without_stack_and_endpoint_is_told_from_one_that_cannot_be_read(summary: ModuleType) -> None:
    def read(stage: Stage) -> Any:
        return summary._section(lambda: summary.changes(planned(summary), summary.Clients(None, lambda _: stage)))

    assert read(Stage("another", endpoint=False)) == {"nothing": True}
    assert read(Stage("another", refuses=True))["problem"].startswith(
        "cannot be read: DescribeStacks: AccessDenied: no; give the role"
    )


def test_a_defect_of_one_part_costs_only_that_part(summary: ModuleType) -> None:
    def broken() -> Any:
        raise IndexError("list index out of range")

    assert summary._section(broken) == {"problem": "cannot be read: unexpected IndexError: list index out of range"}


def test_with_a_shadow_it_is_the_shadow_that_is_approved(summary: ModuleType) -> None:
    class Registry:
        exceptions = SimpleNamespace(ClientError=ClientError)

        def describe_model_package(self, ModelPackageName: str) -> Any:
            return {"ModelPackageGroupName": GROUP, "ModelPackageVersion": int(ModelPackageName[-1])}

    def there(_: str) -> Stage:
        return Stage("another", endpoint=False)

    for shadow, approved, shadow_of in (("", 1, ""), (f"{ARN}/2", 2, f"{ARN}/1")):
        subject = planned(summary)
        subject.planned.parameters.update(ModelPackageName=f"{ARN}/1", ShadowModelPackageName=shadow)
        found = summary.summarise(subject, summary.Clients(lambda _: Registry(), there), PRICES)
        assert (found["model"]["version"], found["shadow_of"]) == (approved, shadow_of)


# ----------------------------------------------------------------------------------- as a build runs it, and throttled


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("seed"))


def throttle(registry: Registry, *operations: str) -> None:
    """Has the next two calls of each operation refused, as AWS does when there are too many."""
    for operation in operations:
        service, _, name = operation.partition(":")
        registry.aws.fail(service, name, registry.account, code="ThrottlingException", times=2)


@pytest.mark.slow
def test_what_aws_throttles_is_tried_again_later(aws: EmbeddedAws, repository: Path) -> None:
    registry, before = Registry(aws), aws.failed()
    registry.client().create_model_package_group(ModelPackageGroupName=GROUP)
    package = registry.register()
    environment = build_environment(registry.account, **registry.environment)
    throttle(registry, "sagemaker:ListModelPackages")
    code, result, error = run_build(repository, env=environment)
    assert (code, result["model_package_arn"]) == (0, package), error

    registry.deploy(json.loads((repository / "staging-config-export.json").read_text())["Parameters"])
    throttle(registry, "sagemaker:DescribeEndpoint")
    run(
        repository,
        "test/test.py",
        env={**environment, "STAGE": "staging", "BUILD_CONFIG": "staging-config-export.json"},
    )
    checks = {
        check["name"]: check["outcome"]
        for check in json.loads((repository / "test-results.json").read_text())["checks"]
    }
    assert checks["in-service"] == "passed"

    throttle(registry, "sagemaker:DescribeModelPackage", "s3:PutObject")
    told = {
        "STAGE": "staging",
        "NEXT_STAGE": "prod",
        "ARTIFACT_BUCKET": registry.bucket,
        "PIPELINE_EXECUTION_ID": "e-1",
    }
    done = run(repository, "approval/summary.py", env={**environment, **told})
    assert done.returncode == 0, done.stderr
    written = json.loads((repository / "approval-summary.json").read_text())
    assert (written["model"]["package"], written["deployed"], written["changes"]) == (
        package,
        {"nothing": True},
        {"nothing": True},
    )
    assert written["model"]["metrics_problem"] == "it was registered without metrics"
    assert aws.failed() - before == 8
    lines = (repository / "approval-variables.sh").read_text().splitlines()
    assert shlex.split(lines[0]) == ["export", f"SUMMARY_URL={written['url']}"]
    assert shlex.split(lines[1]) == ["export", f"SUMMARY_GIST={written['gist']}"]
    stored = registry.client("s3").get_object(Bucket=registry.bucket, Key="approvals/e-1/staging/approval-summary.html")
    assert stored["Body"].read() == (repository / "approval-summary.html").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"NEXT_STAGE": ""}, 0, ""),
        ({"STAGE": ""}, 2, "summary.py: STAGE not set: this runs in the build that tests a stage"),
        ({"NEXT_STAGE": "moon"}, 2, "moon-config-export.json: cannot be read: No such file"),
        (
            {"ARTIFACT_BUCKET": "nobodys-bucket"},
            1,
            "summary.py: The summary is not in the bucket: PutObject: NoSuchBucket",
        ),
    ],
)
def test_what_it_cannot_do_is_one_line(
    aws: EmbeddedAws, tmp_path: Path, changed: dict[str, str], code: int, said: str
) -> None:
    repository = bake(tmp_path)
    parameters = {"SageMakerProjectName": PROJECT, "SageMakerProjectId": PROJECT_ID, "ModelPackageName": f"{ARN}/9"}
    (repository / "prod-config-export.json").write_text(json.dumps({"Parameters": parameters, "Tags": {}}))
    (repository / "template-export.yml").write_text(TEMPLATE_BEFORE)
    told = {"STAGE": "staging", "NEXT_STAGE": "prod", "ARTIFACT_BUCKET": "b", "AWS_REGION": REGION, **changed}
    done = run(repository, "approval/summary.py", env={**aws.environment("699999999999"), **told})
    assert (done.returncode, len(done.stderr.splitlines())) == (code, bool(said)), done.stderr
    assert said in done.stderr
