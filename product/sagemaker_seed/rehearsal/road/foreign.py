"""Products that are somebody else's: registered as they are, and given a model where they bring no training."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import ClientError

from ...accounts.stacks import outputs_of
from ...errors import BadInput, SeedError
from ...publish.release import OBJECT_TAGGING, read_template
from ..embedded import ACCOUNT
from . import models
from .accounts import given
from .journey import REGION, Journey, Options, Product
from .launch import check_parameters

PORTFOLIO_OUTPUT = "PortfolioId"
GROUP_VARIABLE = "SOURCE_MODEL_PACKAGE_GROUP_NAME"
# A flower for the model that the rehearsal brings.
FLOWER = "5.1,3.5,1.4,0.2"
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


def parameters_at(s3: Any, url: str) -> dict[str, Any]:
    """The parameters that the template at an S3 URL declares."""
    parts = urlsplit(url)
    content = s3.get_object(Bucket=parts.netloc.split(".")[0], Key=parts.path.lstrip("/"))["Body"].read().decode()
    return dict(read_template(content, url).get("Parameters", {}))


def seed_files(archive: Path) -> list[str]:
    """The files in a zip of seed code.

    Raises:
        BadInput: it is no zip.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return [name for name in opened.namelist() if not name.endswith("/")]
    except OSError as error:
        raise BadInput(f"{archive}: cannot be read: {error.strerror}") from None
    except zipfile.BadZipFile as error:
        raise BadInput(f"{archive}: is no zip: {error}") from None


@dataclass(frozen=True)
class Template:
    """Somebody else's product template: its text, its parameters, and where it reads its seed code from."""

    text: str
    parameters: Mapping[str, Any]
    bucket: str
    key: str


def read(options: Options) -> Template:
    """Reads the product template, and looks at all that comes with it before anything is made.

    Raises:
        BadInput: a file cannot be read, a parameter is missing, or nothing says where the seed code belongs.
    """
    assert options.product is not None and options.archive is not None  # noqa: S101 - the caller has seen to it
    text = _text(options.product)
    content = read_template(text, str(options.product))
    parameters = content.get("Parameters") or {}
    seed_files(options.archive)
    check_parameters(parameters, options.parameters)
    for template in options.account_templates:
        read_template(_text(template), str(template))
    return Template(text, parameters, *_code_place(content, options))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: is no text") from None


def register(journey: Journey) -> None:
    """Uploads the template and the seed code, and registers a product, as the console or a script would.

    The seed code lies where the template's repository reads it from, in a bucket of their own.

    Raises:
        BadInput: the template or the zip cannot be used.
    """
    options = journey.options
    template = read(options)
    assert options.product is not None and options.archive is not None  # noqa: S101 - the step is theirs alone
    s3, catalog = journey.client("s3"), journey.client("servicecatalog")
    _ensure_bucket(s3, template.bucket)
    s3.put_object(Bucket=template.bucket, Key=template.key, Body=options.archive.read_bytes(), Tagging=OBJECT_TAGGING)
    key = f"product-templates/{options.product.name}"
    s3.put_object(Bucket=template.bucket, Key=key, Body=template.text.encode(), Tagging=OBJECT_TAGGING)
    url = f"https://{template.bucket}.s3.{journey.region}.amazonaws.com/{quote(key)}"
    made = catalog.create_product(
        Name=options.product.stem,
        Owner="Rehearsal",
        ProductType="CLOUD_FORMATION_TEMPLATE",
        Tags=[{"Key": "sagemaker:studio-visibility", "Value": "true"}],
        ProvisioningArtifactParameters={
            "Name": "1",
            "Type": "CLOUD_FORMATION_TEMPLATE",
            "Info": {"LoadTemplateFromURL": url},
        },
    )
    product = made["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    _offer(journey, catalog, product)
    version = made["ProvisioningArtifactDetail"]["Id"]
    journey.product = Product(options.product.stem, product, version, "1", template.parameters)
    journey.say(f"{product}: {options.product.name}, {len(template.text):,} bytes")
    journey.say(f"s3://{template.bucket}/{template.key}: {len(journey.seed_files)} files")


def _code_place(template: Mapping[str, Any], options: Options) -> tuple[str, str]:
    """Where the template reads its seed code from: the first repository that has any."""
    declared = template.get("Parameters") or {}
    known = {name: str(said["Default"]) for name, said in declared.items() if "Default" in said}
    known |= {
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::URLSuffix": "amazonaws.com",
    }
    known |= given(options.parameters)
    for resource in template["Resources"].values():
        if not isinstance(resource, dict) or resource.get("Type") != "AWS::CodeCommit::Repository":
            continue
        code = (resource.get("Properties") or {}).get("Code")
        place = code.get("S3") if isinstance(code, dict) else None
        if isinstance(place, dict):
            bucket, key = (_plain(place.get(part), known) for part in ("Bucket", "Key"))
            if bucket and key:
                return bucket, key
    raise BadInput(
        f"{options.product}: has no AWS::CodeCommit::Repository whose Code.S3 says by texts and parameters alone where "
        "the seed code is, so the rehearsal cannot put it there"
    )


def _plain(value: Any, known: Mapping[str, str]) -> str:
    """A text, what a parameter holds, or a text with parameters in it; empty if it is none of these.

    The short forms of ``Ref`` and ``Fn::Sub`` have been read as plain values.
    """
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("Ref", value.get("Fn::Sub"))
    if not isinstance(value, str):
        return ""
    text = PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), known.get(value, value))
    return "" if PLACEHOLDER.search(text) else text


def _ensure_bucket(s3: Any, bucket: str) -> None:
    region = s3.meta.region_name
    elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket, **elsewhere)


def _offer(journey: Journey, catalog: Any, product: str) -> None:
    """Puts the product into the portfolio of catalog.yaml, with its launch role."""
    described = journey.client("cloudformation").describe_stacks(StackName="sagemaker-seed-catalog")["Stacks"][0]
    outputs = outputs_of(described)
    portfolio = outputs[PORTFOLIO_OUTPUT]
    catalog.associate_product_with_portfolio(ProductId=product, PortfolioId=portfolio)
    catalog.create_constraint(
        PortfolioId=portfolio,
        ProductId=product,
        Type="LAUNCH",
        Parameters=json.dumps({"RoleArn": outputs["LaunchRoleArn"]}),
    )


def register_model(journey: Journey) -> list[dict[str, Any]]:
    """Registers a model for a project whose product does not train: trees grown on the iris data, in XGBoost's format.

    It lies in the bucket that SageMaker makes by itself, which the stages' accounts may read.
    """
    s3, sagemaker = journey.client("s3"), journey.client("sagemaker")
    account = journey.accounts["data-science"]
    bucket, key = f"sagemaker-{journey.region}-{account}", "rehearsal/model.tar.gz"
    _ensure_bucket(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=_readable(journey, bucket))
    s3.put_object(Bucket=bucket, Key=key, Body=_model())
    group = _group(journey)
    groups = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    if group not in {found["ModelPackageGroupName"] for found in groups}:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    image = f"{account}.dkr.ecr.{journey.region}.amazonaws.com/sagemaker-xgboost:3.2-0"
    made = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus=models.PENDING,
        InferenceSpecification={
            "Containers": [{"Image": image, "ModelDataUrl": f"s3://{bucket}/{key}"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    journey.own_package = str(made["ModelPackageArn"])
    journey.say("nothing was trained, so the rehearsal registered a model of its own")
    return models.packages(sagemaker)


def invoke(journey: Journey) -> None:
    """Asks each endpoint that serves the rehearsal's own model about a flower: nobody else may test that one.

    Raises:
        SeedError: an endpoint does not answer.
    """
    for stage, endpoint in journey.endpoints.items():
        if endpoint["package"] != journey.own_package:
            continue
        try:
            answer = journey.client("sagemaker-runtime", stage).invoke_endpoint(
                EndpointName=endpoint["name"], ContentType="text/csv", Body=FLOWER
            )
        except ClientError as error:
            raise SeedError(f"{endpoint['name']} does not answer: {error}") from error
        journey.say(f"{stage:<13} {endpoint['name']} answers {' '.join(answer['Body'].read().decode().split())}")


def _readable(journey: Journey, bucket: str) -> str:
    partition = journey.studio_role.split(":")[1]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [journey.accounts[stage.name] for stage in journey.stages]},
        "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
        "Resource": [f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{bucket}/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _group(journey: Journey) -> str:
    """The group that the project's builds look into, or the one that its name makes."""
    names = journey.project.of_type("AWS::CodeBuild::Project")
    found = journey.client("codebuild").batch_get_projects(names=names)["projects"] if names else []
    for made in found:
        for variable in made["environment"].get("environmentVariables", ()):
            if variable["name"] == GROUP_VARIABLE:
                return str(variable["value"])
    return f"{journey.project.name}-{journey.project.id}"


def _model() -> bytes:
    import xgboost
    from sklearn.datasets import load_iris

    data = load_iris()
    trained = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "seed": 1},
        xgboost.DMatrix(data.data, label=data.target),
        num_boost_round=10,
    )
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w:gz") as tar:
        path = Path(folder) / "xgboost-model"
        trained.save_model(path.with_suffix(".ubj"))
        tar.add(path.with_suffix(".ubj"), "xgboost-model")
    return packed.getvalue()
