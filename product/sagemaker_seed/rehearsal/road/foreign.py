"""Products that are somebody else's: registered as they are, and given a model where they bring no training."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import BadInput
from ...publish.release import OBJECT_TAGGING, read_template
from . import models
from .accounts import STAGES
from .journey import Journey, Product

PORTFOLIO_OUTPUT = "PortfolioId"
GROUP_VARIABLE = "SOURCE_MODEL_PACKAGE_GROUP_NAME"


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
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{archive}: is no zip that can be read: {error}") from None


def register(journey: Journey) -> None:
    """Uploads the template and the seed code, and registers a product, as the console or a script would.

    The seed code lies where the template's default parameters or its resources say, with their own bucket and key.

    Raises:
        BadInput: the template or the zip cannot be used.
    """
    options = journey.options
    assert options.product is not None and options.archive is not None  # noqa: S101 - the step is theirs alone
    text = options.product.read_text()
    template = read_template(text, options.product.name)
    bucket, key = _code_place(template, options.product.name)
    s3, catalog = journey.client("s3"), journey.client("servicecatalog")
    _ensure_bucket(s3, bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=options.archive.read_bytes(), Tagging=OBJECT_TAGGING)
    template_key = f"product-templates/{options.product.name}"
    s3.put_object(Bucket=bucket, Key=template_key, Body=text.encode(), Tagging=OBJECT_TAGGING)
    url = f"https://{bucket}.s3.{journey.region}.amazonaws.com/{template_key}"
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
    journey.product = Product(
        options.product.stem,
        product,
        made["ProvisioningArtifactDetail"]["Id"],
        "1",
        template.get("Parameters", {}),
    )
    journey.say(f"{product}: {options.product.name}, {len(text):,} bytes")
    journey.say(f"s3://{bucket}/{key}: {len(journey.seed_files)} files")


def _code_place(template: dict[str, Any], name: str) -> tuple[str, str]:
    """Where the template reads its seed code from: the first repository that has any."""
    defaults = {key: said.get("Default", "") for key, said in template.get("Parameters", {}).items()}
    for resource in template["Resources"].values():
        place = resource.get("Properties", {}).get("Code", {}) if isinstance(resource, dict) else {}
        found = place.get("S3") if isinstance(place, dict) else None
        if isinstance(found, dict) and resource.get("Type") == "AWS::CodeCommit::Repository":
            bucket, key = (_plain(found.get(part), defaults) for part in ("Bucket", "Key"))
            if bucket and key:
                return bucket, key
    raise BadInput(
        f"{name}: no AWS::CodeCommit::Repository with Code.S3 whose Bucket and Key are plain text or parameters with "
        "defaults, so the rehearsal cannot tell where to put the seed code"
    )


def _plain(value: Any, defaults: dict[str, str]) -> str:
    """A text, or the default of the parameter that it names (short forms are read as plain values)."""
    named = value.get("Ref") if isinstance(value, dict) else value
    return str(defaults.get(str(named), named or ""))


def _ensure_bucket(s3: Any, bucket: str) -> None:
    region = s3.meta.region_name
    elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket, **elsewhere)


def _offer(journey: Journey, catalog: Any, product: str) -> None:
    """Puts the product into the portfolio of catalog.yaml, with its launch role."""
    described = journey.client("cloudformation").describe_stacks(StackName="sagemaker-seed-catalog")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
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
    sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus=models.PENDING,
        InferenceSpecification={
            "Containers": [{"Image": image, "ModelDataUrl": f"s3://{bucket}/{key}"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    journey.say("nothing was trained, so the rehearsal registered a model of its own")
    return models.packages(sagemaker)


def _readable(journey: Journey, bucket: str) -> str:
    partition = journey.studio_role.split(":")[1]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [journey.accounts[stage] for stage in STAGES]},
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
