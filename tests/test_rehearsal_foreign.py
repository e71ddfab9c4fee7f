"""Somebody else's product and seed code on the road: as they are, to an endpoint in production that answers."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import cli
from sagemaker_seed.console import Console
from sagemaker_seed.errors import BadInput
from sagemaker_seed.rehearsal.road import foreign
from sagemaker_seed.rehearsal.road.journey import Journey, Options
from sagemaker_seed.rehearsal.road.stages import LAYOUTS
from sagemaker_seed.rehearsal.road.walk import walk

STAGES = [stage.name for stage in LAYOUTS["two"]]

FOREIGN = Path(__file__).parent / "foreign"
PRODUCT, ACCOUNT = FOREIGN / "product.yml", FOREIGN / "target-account.yml"
ROLE = "sagemaker-role-walkthrough"
PARAMETERS = tuple(f"SageMakerExecutionRole{stage}Name={ROLE}" for stage in ("Staging", "Prod"))


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def seed_code() -> dict[str, bytes]:
    root = FOREIGN / "seed"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "seed.zip"
    path.write_bytes(zipped(seed_code()))
    return path


def options(archive: Path, output: Path, **more: Any) -> Options:
    given = {
        "product": PRODUCT,
        "account_templates": [ACCOUNT],
        "parameters": PARAMETERS,
        "page": output / "rehearsal.html",
        **more,
    }
    return Options(seed=None, answers=[], output=output, archive=archive, **given)


def command_line(product: Path, archive: Path, output: Path, *parameters: str) -> list[str]:
    words = ["rehearse", "--product", str(product), "--seed", str(archive), "--account-template", str(ACCOUNT)]
    return [*words, "--output", str(output), *(word for p in parameters for word in ("--parameter", p))]


@pytest.mark.slow
def test_the_whole_road(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets: dict[str, Any] = {}
    accounts: dict[str, str] = {}
    stacks: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}

    def keep(journey: Journey) -> None:
        accounts.update(journey.accounts)
        cloudformation = journey.client("cloudformation")
        for summary in cloudformation.list_stack_sets()["Summaries"]:
            name = summary["StackSetName"]
            made = cloudformation.describe_stack_set(StackSetName=name)["StackSet"]
            instances = cloudformation.list_stack_instances(StackSetName=name)["Summaries"]
            sets[name.rpartition("-")[2]] = (made["PermissionModel"], made["AutoDeployment"], instances)
        for stage in STAGES:
            found = journey.client("cloudformation", stage).describe_stacks()["Stacks"]
            stacks[stage] = [s["StackStatus"] for s in found if s["StackName"].startswith("StackSet-")]
        for name in journey.clone.files():
            files[name] = (journey.clone.folder / name).read_bytes()

    told = walk(options(archive, tmp_path), Console(), keep=keep)

    assert files == seed_code()
    assert set(sets) == {"staging", "prod"}
    for name, stage in (("staging", "staging"), ("prod", "production")):
        model, deployment, instances = sets[name]
        assert model == "SERVICE_MANAGED"
        assert deployment["Enabled"] is False
        assert [(i["Account"], i["StackInstanceStatus"]["DetailedStatus"]) for i in instances] == [
            (accounts[stage], "SUCCEEDED")
        ]
        assert stacks[stage] == ["CREATE_COMPLETE"]
    assert {stage: said["status"] for stage, said in told["endpoints"].items()} == dict.fromkeys(STAGES, "InService")
    assert len({said["package"] for said in told["endpoints"].values()}) == 1

    # The first execution finds no approved model, as its build says; the second one is asked for by the approval.
    waiting, delivered = told["runs"]
    assert [(a["name"], a["status"]) for a in waiting["actions"]] == [
        ("Code", "Succeeded"),
        ("BuildTemplates", "Failed"),
    ]
    assert [(f"{a['stage']}/{a['name']}", a["provider"], a["status"]) for a in delivered["actions"]] == [
        ("Source/Code", "CodeCommit", "Succeeded"),
        ("Build/BuildTemplates", "CodeBuild", "Succeeded"),
        ("DeployStaging/DeployStackSet", "CloudFormationStackSet", "Succeeded"),
        ("DeployStaging/Test", "CodeBuild", "Succeeded"),
        ("DeployStaging/Approve", "Manual", "Succeeded"),
        ("DeployProd/DeployStackSet", "CloudFormationStackSet", "Succeeded"),
    ]
    logs = ["\n".join(build["log"]) for build in told["builds"]]
    assert "No approved model package in rehearsal-" in logs[0]
    assert "AWS does not maintain the image aws/codebuild/amazonlinux2-x86_64-standard:3.0" in logs[1]
    assert "Successfully packaged artifacts and wrote output template to file template-export.yml" in logs[1]
    # What its own test has seen, and what the rehearsal has seen in production, which the product does not test.
    (test,) = told["tests"]
    assert test["outcome"] == "passed"
    assert accounts["staging"] in test["checks"][0]["message"]
    assert "production    rehearsal-" in (out := capsys.readouterr().out)
    assert len([line for line in out.splitlines() if " answers [0.9" in line]) == 2
    page = (tmp_path / "rehearsal.html").read_text()
    assert "product.yml" in page
    assert told["project"]["id"] in page


@pytest.mark.slow
def test_a_launch_that_fails_names_the_resource(archive: Path, tmp_path: Path) -> None:
    product = tmp_path / "product.yml"
    shared = "role/service-role/AmazonSageMakerServiceCatalogProductsUseRole"
    product.write_text(PRODUCT.read_text().replace(shared, "role/service-role/nobody"))
    statuses: list[str] = []

    def keep(journey: Journey) -> None:
        stacks = journey.client("cloudformation").describe_stacks()["Stacks"]
        statuses.extend(stack["StackStatus"] for stack in stacks if stack["StackName"].startswith("SC-"))

    asked = options(archive, tmp_path, product=product)
    with pytest.raises(Exception, match=r"^the launch failed \(CreateFailed\): \w+ \(AWS::Code\w+::\w+\): ") as failed:
        walk(asked, Console(), keep=keep)
    assert len(str(failed.value).splitlines()) == 1
    assert getattr(failed.value, "exit_code", None) == 1
    assert statuses == ["ROLLBACK_COMPLETE"]


@pytest.mark.slow
def test_a_resource_that_is_not_there_ends_with_1_and_its_type(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product = tmp_path / "product.yml"
    product.write_text(PRODUCT.read_text() + "\n  Strange:\n    Type: AWS::Braket::Spaceship\n")
    assert cli.main(command_line(product, archive, tmp_path / "out", *PARAMETERS)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "AWS::Braket::Spaceship" in line


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that bad input is told, before anything is made."""
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line.removeprefix("ERROR: ")


def test_a_product_without_seed_code_and_the_other_way_round(
    archive: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = "--product and --seed belong together: a product template, and the zip of its seed code"
    assert refused(["rehearse", "--product", str(PRODUCT)], capsys) == said
    assert refused(["rehearse", "--seed", str(archive)], capsys) == said
    both = [*command_line(PRODUCT, archive, tmp_path, *PARAMETERS), "some-seed"]
    assert refused(both, capsys) == "either the seed repository some-seed or --product, not both"
    answered = [*command_line(PRODUCT, archive, tmp_path, *PARAMETERS), "--answer", "project_name=X"]
    assert refused(answered, capsys).startswith("--answer is for the seed repository that is rendered")


def test_a_missing_and_an_unknown_parameter(archive: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert refused(command_line(PRODUCT, archive, tmp_path, PARAMETERS[0]), capsys) == (
        "the product has parameters without a default that the rehearsal cannot fill in: "
        "--parameter SageMakerExecutionRoleProdName=..."
    )
    unknown = command_line(PRODUCT, archive, tmp_path, *PARAMETERS, "Colour=red")
    assert refused(unknown, capsys) == "the product has no parameter Colour"
    shapeless = command_line(PRODUCT, archive, tmp_path, *PARAMETERS, "Colour")
    assert refused(shapeless, capsys) == "--parameter 'Colour': must be KEY=VALUE"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is no zip: File is not a zip file"),
        (b"PK\x03\x04 and then nothing", "is no zip: File is not a zip file"),
    ],
)
def test_a_zip_that_is_none(
    content: bytes | None, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "seed.zip"
    if content is not None:
        path.write_bytes(content)
    assert refused(command_line(PRODUCT, path, tmp_path, *PARAMETERS), capsys) == f"{path}: {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe\x00", "is no text"),
        (b"{a: [", "is no YAML: "),
        (b"Description: nothing", "is no CloudFormation template (it has no Resources)"),
        (b"Resources: {A: {Type: AWS::S3::Bucket}}", "has no AWS::CodeCommit::Repository whose Code.S3 says "),
    ],
)
def test_a_template_that_cannot_be_used(
    content: bytes | None, said: str, archive: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "product.yml"
    if content is not None:
        path.write_bytes(content)
    assert refused(command_line(path, archive, tmp_path), capsys).startswith(f"{path}: {said}")
    assert not list(tmp_path.rglob("*.html"))


def test_an_account_template_that_is_none(archive: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [*command_line(PRODUCT, archive, tmp_path, *PARAMETERS), "--account-template", str(tmp_path / "other.yml")]
    assert refused(words, capsys) == f"{tmp_path / 'other.yml'}: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("bucket", "key", "place"),
    [
        ("plain-bucket", "a/b.zip", ("plain-bucket", "a/b.zip")),
        ("!Ref Bucket", "!Ref Key", ("default-bucket", "given.zip")),
        ("!Sub code-${AWS::Region}-${AWS::AccountId}", "k.zip", ("code-us-east-1-111111111111", "k.zip")),
        ("{Ref: Bucket}", '{"Fn::Sub": "x/${Key}"}', ("default-bucket", "x/given.zip")),
    ],
)
def test_where_seed_code_belongs(bucket: str, key: str, place: tuple[str, str], archive: Path, tmp_path: Path) -> None:
    assert read_with(bucket, key, archive, tmp_path) == place


@pytest.mark.parametrize(
    "bucket", ["!Sub code-${SageMakerProjectId}", "!GetAtt [Other, Name]", '{"Fn::Join": ["", [a]]}']
)
def test_a_place_that_the_template_does_not_tell(bucket: str, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="so the rehearsal cannot put it there"):
        read_with(bucket, "k.zip", archive, tmp_path)


def read_with(bucket: str, key: str, archive: Path, folder: Path) -> tuple[str, str]:
    path = folder / "product.yml"
    path.write_text(
        "Parameters: {Bucket: {Type: String, Default: default-bucket}, Key: {Type: String}, "
        "SageMakerProjectId: {Type: String}}\n"
        "Resources:\n"
        "  Other: {Type: AWS::S3::Bucket}\n"
        "  Code:\n"
        "    Type: AWS::CodeCommit::Repository\n"
        "    Properties:\n"
        f"      Code:\n        S3:\n          Bucket: {bucket}\n          Key: {key}\n"
    )
    template = foreign.read(options(archive, folder, product=path, parameters=["Key=given.zip"]))
    assert list(template.parameters) == ["Bucket", "Key", "SageMakerProjectId"]
    return template.bucket, template.key
