"""`sagemaker-seed check` against accounts set up by our own templates: nothing is found there, and every fault is."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import bundle as bundles
from sagemaker_seed.answers import QUESTIONS, Seed, read_seed
from sagemaker_seed.check import catalog, flow
from sagemaker_seed.check.images import XGBOOST_UNTIL
from sagemaker_seed.cli import main
from sagemaker_seed.console import Console
from sagemaker_seed.policies import like, listed
from sagemaker_seed.rehearsal.checking import Ground, check_in, ground
from sagemaker_seed.rehearsal.rendering import render
from sagemaker_seed.resources import product_template
from sagemaker_seed.templates import schemas
from support import REGION, ROOT, clean_environment

pytestmark = pytest.mark.slow
LAUNCH = f"sagemaker-seed-launch-{REGION}"
OBJECT = "servicecatalog:provisioning"


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    return read_seed(render([f"aws_region={REGION}"], tmp_path_factory.mktemp("check")))


@pytest.fixture(scope="module")
def made(seed: Seed) -> Iterator[Ground]:
    with ground(seed, Console(json=True)) as made:
        yield made


@dataclass
class Scene:
    """Accounts in which one thing is broken, until the test is over."""

    made: Ground
    seed: Seed
    folder: Path
    undo: ExitStack
    text: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str, account: str = "home") -> Any:
        return self.made.clients(account)(service)

    @property
    def portfolio(self) -> str:
        return str(self.client("servicecatalog").list_portfolios()["PortfolioDetails"][0]["Id"])

    @property
    def product(self) -> str:
        found = self.client("servicecatalog").describe_product_as_admin(Name=self.seed.answers["project_name"])
        return str(found["ProductViewDetail"]["ProductViewSummary"]["ProductId"])

    @property
    def group(self) -> str:
        """The model package group of a project that nobody else has."""
        return f"iris-p-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"

    @property
    def models(self) -> str:
        return f"sagemaker-project-{self.group}"

    def check(self) -> list[dict[str, str]]:
        result = check_in(self.made, self.seed, Console(json=True), text=self.text, **self.more)
        return list(result["findings"])


Break = Callable[[Scene], None]


def option(**more: Any) -> Break:
    """An option that is wrong."""
    return lambda scene: scene.more.update(more)


def template(old: str, new: str, count: int = 1) -> Break:
    """A template that says something else."""

    def act(scene: Scene) -> None:
        text = product_template().read_text()
        assert text.count(old) >= count, old
        scene.text = text.replace(old, new, count)

    return act


def lacks(role: str, action: str, account: str = "home") -> Break:
    """A role without one action."""

    def act(scene: Scene) -> None:
        iam, found = scene.client("iam", account), 0
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            _made_its_own(scene, iam, role, attached)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            less = copy.deepcopy(document)
            for statement in less["Statement"]:
                kept = [a for a in listed(statement["Action"]) if not like(a, action, fold=True)]
                found += len(kept) < len(listed(statement["Action"]))
                statement["Action"] = kept
            less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
            less["Statement"] = less["Statement"] or [{"Effect": "Deny", "Action": "x:y", "Resource": "*"}]
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
            scene.undo.callback(
                iam.put_role_policy, RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document)
            )
        assert found, f"{role} has no {action}"

    return act


def _made_its_own(scene: Scene, iam: Any, role: str, attached: Mapping[str, str]) -> None:
    """A policy that other roles have too becomes one of this role alone."""
    arn, name = attached["PolicyArn"], attached["PolicyName"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    scene.undo.callback(iam.delete_role_policy, RoleName=role, PolicyName=name)
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    scene.undo.callback(iam.attach_role_policy, RoleName=role, PolicyArn=arn)


def trusts(role: str, principal: dict[str, str], account: str = "home") -> Break:
    """A role that trusts somebody else."""

    def act(scene: Scene) -> None:
        iam = scene.client("iam", account)
        before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
        document = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
        new = json.dumps({"Version": "2012-10-17", **document})
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=new)
        scene.undo.callback(iam.update_assume_role_policy, RoleName=role, PolicyDocument=json.dumps(before))

    return act


def asks_for_an_external_id(scene: Scene) -> None:
    iam, role = scene.client("iam", "staging"), "sagemaker-seed-deploy"
    before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    asks = copy.deepcopy(before)
    for statement in asks["Statement"]:
        if "-test" in json.dumps(statement["Condition"]):
            statement["Condition"]["StringEquals"] = {"sts:ExternalId": "another"}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(asks))
    scene.undo.callback(iam.update_assume_role_policy, RoleName=role, PolicyDocument=json.dumps(before))


def tagged(*tags: dict[str, str]) -> Break:
    """The published seed code with other tags."""

    def act(scene: Scene) -> None:
        s3, bucket = scene.client("s3"), scene.made.bucket
        policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        key = s3.list_objects_v2(Bucket=bucket, Prefix="seed-code/")["Contents"][0]["Key"]
        before = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        s3.delete_bucket_policy(Bucket=bucket)
        scene.undo.callback(s3.put_bucket_policy, Bucket=bucket, Policy=policy)
        if tags:
            s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": list(tags)})
        else:
            s3.delete_object_tagging(Bucket=bucket, Key=key)
        scene.undo.callback(s3.put_object_tagging, Bucket=bucket, Key=key, Tagging={"TagSet": before})

    return act


def another_bucket(name: str, account: str = "home", region: str = REGION) -> Break:
    """A bucket that is not the one of catalog.yaml."""

    def act(scene: Scene) -> None:
        s3 = scene.made.aws.client("s3", scene.made.accounts[account], region)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        scene.undo.callback(s3.delete_bucket, Bucket=name)
        scene.more["bucket"] = name

    return act


def encrypted(scene: Scene) -> None:
    s3 = scene.client("s3")
    before = s3.get_bucket_encryption(Bucket=scene.made.bucket)["ServerSideEncryptionConfiguration"]
    key = scene.client("kms").create_key()["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    change = {"Bucket": scene.made.bucket, "ServerSideEncryptionConfiguration": {"Rules": [rule]}}
    s3.put_bucket_encryption(**change)
    scene.undo.callback(s3.put_bucket_encryption, **{**change, "ServerSideEncryptionConfiguration": before})


def unversioned(scene: Scene) -> None:
    s3, bucket = scene.client("s3"), scene.made.bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    scene.undo.callback(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def retagged(key: str, value: str | None) -> Break:
    """A product with another tag."""

    def act(scene: Scene) -> None:
        servicecatalog, product = scene.client("servicecatalog"), scene.product
        before = {t["Key"]: t["Value"] for t in servicecatalog.describe_product_as_admin(Id=product)["Tags"]}
        servicecatalog.update_product(
            Id=product, RemoveTags=[key], AddTags=[{"Key": key, "Value": value}] if value else []
        )
        scene.undo.callback(servicecatalog.update_product, Id=product, AddTags=[{"Key": key, "Value": before[key]}])

    return act


def unconstrained(scene: Scene) -> None:
    servicecatalog, ids = scene.client("servicecatalog"), {"PortfolioId": scene.portfolio, "ProductId": scene.product}
    (constraint,) = servicecatalog.list_constraints_for_portfolio(**ids)["ConstraintDetails"]
    said = servicecatalog.describe_constraint(Id=constraint["ConstraintId"])["ConstraintParameters"]
    servicecatalog.delete_constraint(Id=constraint["ConstraintId"])
    scene.undo.callback(servicecatalog.create_constraint, **ids, Type="LAUNCH", Parameters=said)


def unseen(scene: Scene) -> None:
    servicecatalog, portfolio = scene.client("servicecatalog"), scene.portfolio
    for principal in servicecatalog.list_principals_for_portfolio(PortfolioId=portfolio)["Principals"]:
        ids = {"PortfolioId": portfolio, "PrincipalARN": principal["PrincipalARN"], "PrincipalType": "IAM"}
        servicecatalog.disassociate_principal_from_portfolio(**ids)
        scene.undo.callback(servicecatalog.associate_principal_with_portfolio, **ids)


def without_path(scene: Scene) -> None:
    arn = f"arn:aws:iam::{scene.made.accounts['home']}:role/studio-execution-role"  # it is in service-role/
    ids = {"PortfolioId": scene.portfolio, "PrincipalARN": arn, "PrincipalType": "IAM"}
    scene.client("servicecatalog").associate_principal_with_portfolio(**ids)
    scene.undo.callback(scene.client("servicecatalog").disassociate_principal_from_portfolio, **ids)


def hidden(scene: Scene) -> None:
    servicecatalog, product = scene.client("servicecatalog"), scene.product
    (version,) = servicecatalog.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
    ids = {"ProductId": product, "ProvisioningArtifactId": version["Id"]}
    servicecatalog.update_provisioning_artifact(**ids, Active=False)
    scene.undo.callback(servicecatalog.update_provisioning_artifact, **ids, Active=True)


def full(quota: str, most: int) -> Break:
    """An account whose quota is as good as used up."""

    def act(scene: Scene) -> None:
        patch = pytest.MonkeyPatch()
        scene.undo.callback(patch.undo)
        patch.setattr(catalog, quota, most)

    return act


def by_stack_set(scene: Scene) -> None:
    unconstrained(scene)
    servicecatalog, ids = scene.client("servicecatalog"), {"PortfolioId": scene.portfolio, "ProductId": scene.product}
    properties = {"AccountList": [scene.made.accounts["staging"]], "RegionList": [REGION], "AdminRole": "x"}
    parameters = json.dumps({"Version": "String", "Properties": properties})
    made = servicecatalog.create_constraint(**ids, Type="STACKSET", Parameters=parameters)["ConstraintDetail"]
    scene.undo.callback(servicecatalog.delete_constraint, Id=made["ConstraintId"])


def emptied(prefix: str) -> Break:
    """A seed bucket out of which somebody deleted something."""

    def act(scene: Scene) -> None:
        s3, bucket = scene.client("s3"), scene.made.bucket
        policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        s3.delete_bucket_policy(Bucket=bucket)
        scene.undo.callback(s3.put_bucket_policy, Bucket=bucket, Policy=policy)
        key = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"][0]["Key"]
        marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
        scene.undo.callback(s3.delete_object, Bucket=bucket, Key=key, VersionId=marker)

    return act


def older(act: Break) -> Break:
    """The same, of a version that was published before the seed was edited."""

    def both(scene: Scene) -> None:
        edited("README.md", "# ", "# New: ")(scene)
        act(scene)

    return both


def trained(**encryption: str) -> Break:
    """A launched project whose newest model is approved; its artifact lies where a notebook put it."""

    def act(scene: Scene) -> None:
        s3, sagemaker = scene.client("s3"), scene.client("sagemaker")
        s3.create_bucket(Bucket=scene.models, CreateBucketConfiguration={"LocationConstraint": REGION})
        scene.undo.callback(s3.delete_bucket, Bucket=scene.models)
        s3.put_object(Bucket=scene.models, Key="m/model.tar.gz", Body=b"x", **encryption)
        scene.undo.callback(s3.delete_object, Bucket=scene.models, Key="m/model.tar.gz")
        sagemaker.create_model_package_group(ModelPackageGroupName=scene.group)
        container = {
            "Image": f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0",
            "ModelDataUrl": f"s3://{scene.models}/m/model.tar.gz",
        }
        formats = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
        package = sagemaker.create_model_package(
            ModelPackageGroupName=scene.group,
            ModelApprovalStatus="Approved",
            InferenceSpecification={"Containers": [container], **formats},
        )["ModelPackageArn"]
        rejected = {"ModelPackageArn": package, "ModelApprovalStatus": "Rejected"}
        scene.undo.callback(sagemaker.update_model_package, **rejected)

    return act


def unshared(scene: Scene) -> None:
    trained()(scene)
    nobody = {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "sagemaker:DescribeModelPackage"}
    arn = f"arn:aws:sagemaker:{REGION}:{scene.made.accounts['home']}:model-package/{scene.group}/*"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**nobody, "Resource": arn}]})
    sagemaker = scene.client("sagemaker")
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=scene.group, ResourcePolicy=policy)


def untrained(scene: Scene) -> None:
    trained()(scene)
    scene.client("s3").delete_object(Bucket=scene.models, Key="m/model.tar.gz")


def own_key(scene: Scene) -> None:
    key = scene.client("kms").create_key()["KeyMetadata"]["Arn"]
    trained(ServerSideEncryption="aws:kms", SSEKMSKeyId=key)(scene)


def edited(name: str, old: str, new: str) -> Break:
    """A file of the seed that says something else."""

    def act(scene: Scene) -> None:
        _copied(scene)
        path = scene.seed.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return act


def crowded(scene: Scene) -> None:
    _copied(scene)
    for number in range(100):
        (scene.seed.folder / f"note-{number}.txt").write_text(str(number))


def removed(scene: Scene) -> None:
    _copied(scene)
    (scene.seed.folder / "training/buildspec.yml").unlink()


def _copied(scene: Scene) -> None:
    scene.seed = read_seed(Path(shutil.copytree(scene.seed.folder, scene.folder / "seed")))


def launch_role_elsewhere(scene: Scene) -> None:
    scene.more["launch_role_arn"] = f"arn:aws:iam::{scene.made.accounts['home']}:role/launches-nothing"


def wrong_profile(scene: Scene) -> None:
    scene.more["stage_ids"] = {"staging": scene.made.accounts["prod"], "prod": scene.made.accounts["prod"]}


def bounded(scene: Scene) -> None:
    iam = scene.client("iam")
    statement = {"Effect": "Allow", "NotAction": "kms:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_policy(PolicyName="no-keys", PolicyDocument=document)["Policy"]["Arn"]
    scene.undo.callback(iam.delete_policy, PolicyArn=arn)
    iam.put_role_permissions_boundary(RoleName=LAUNCH, PermissionsBoundary=arn)
    scene.undo.callback(iam.delete_role_permissions_boundary, RoleName=LAUNCH)


# fault: (how it is made, what is found, the act that would fail, a part of the place, the reason or the fix)
FAULTS: dict[str, tuple[Break, str, str, str]] = {
    "the region is another one": (
        option(region="us-east-1"),
        "the region is not that of the seed",
        "publish",
        "--region eu-west-1",
    ),
    "no such bucket": (option(bucket="sagemaker-none"), "the seed bucket does not exist", "publish", "catalog.yaml"),
    "nobody named a bucket": (option(bucket=""), "no seed bucket", "publish", "catalog.yaml"),
    "a bucket in another region": (
        another_bucket("sagemaker-far", region="eu-central-1"),
        "the seed bucket is in another region",
        "publish",
        "--region eu-central-1",
    ),
    "somebody else's bucket": (
        another_bucket("sagemaker-foreign", "staging"),
        "the seed bucket is not ours",
        "publish",
        "publisher",
    ),
    "a bucket without tags": (
        another_bucket("sagemaker-plain"),
        "the launch role is not known",
        "publish",
        "--launch-role-arn",
    ),
    "a bucket with a key of its own": (
        encrypted,
        "the launch role cannot decrypt the seed bucket",
        "launch",
        '"Action": "kms:Decrypt"',
    ),
    "a bucket without versions": (unversioned, "the seed bucket has no versioning", "launch", "put-bucket-versioning"),
    "a missing tag": (tagged(), "the seed code lacks its tag", "launch", "put-object-tagging"),
    "a tag with another value": (
        tagged({"Key": OBJECT, "Value": "True"}),
        "the seed code lacks its tag",
        "launch",
        "this has True",
    ),
    "too many files": (crowded, "the seed code cannot be packed", "publish", "at most 100"),
    "no such portfolio": (
        option(portfolio_id="port-none"),
        "the portfolio does not exist",
        "publish",
        "--portfolio-id",
    ),
    "a portfolio that nobody sees": (unseen, "nobody sees the portfolio", "launch", "associate-principal"),
    "a principal without its path": (without_path, "a principal of the portfolio is no role", "launch", "path"),
    "a product that Studio hides": (
        retagged("sagemaker:studio-visibility", None),
        "Studio does not show the product",
        "launch",
        "update-product",
    ),
    "a product of somebody else": (
        retagged("sagemaker:seed-slug", "another"),
        "the product belongs to somebody else",
        "publish",
        "project_name",
    ),
    "no launch constraint": (unconstrained, "the product has no launch constraint", "launch", "publish again"),
    "a product that launches as a stack set": (
        by_stack_set,
        "the product launches as a stack set",
        "launch",
        "delete-constraint",
    ),
    "a portfolio that is full of products": (
        full("PRODUCTS", 1),
        "the portfolio is nearly full",
        "publish",
        "it has 1 products, and Service Catalog takes 1",
    ),
    "a portfolio that is full of principals": (
        full("PRINCIPALS", 1),
        "the portfolio has no room for more principals",
        "publish",
        "IAM_PATTERN",
    ),
    "a product that is full of versions": (
        full("MAX_VERSIONS", 1),
        "the product is nearly full",
        "publish",
        "delete-provisioning-artifact",
    ),
    "a product that is full of tags": (
        full("TAGS", 2),
        "the product has no room for more tags",
        "publish",
        "--remove-tags",
    ),
    "a product that is full of constraints": (
        full("CONSTRAINTS", 1),
        "the product is nearly full of constraints",
        "publish",
        "delete-constraint",
    ),
    "a version whose template is gone": (
        emptied("product-templates/"),
        "a version launches from what is gone",
        "launch",
        "--no-active",
    ),
    "an older version whose seed code is gone": (
        older(emptied("seed-code/")),
        "a version launches from what is gone",
        "launch",
        "seed code seed-code/iris-classifier/",
    ),
    "an older version whose seed code lost its tag": (
        older(tagged()),
        "the seed code lacks its tag",
        "launch",
        "put-object-tagging",
    ),
    "no version to launch": (hidden, "no version can be launched", "launch", "--active"),
    "a template that is no YAML": (
        template("Resources:\n", "Resources: [\n"),
        "the template cannot be bound",
        "publish",
        "no YAML",
    ),
    "a template with a key twice": (
        template("Mappings:\n", "Conditions: {}\nMappings:\n"),
        "the template is no template",
        "publish",
        "duplicate key",
    ),
    "a parameter of SageMaker's is missing": (
        template("  SageMakerProjectId:\n    Type", "  SageMakerProjectIdentifier:\n    Type"),
        "the template is no template",
        "publish",
        "SageMakerProjectId",
    ),
    "a template with too many parameters": (
        template(
            "Parameters:\n", "Parameters:\n" + "".join(f"  P{n}: {{Type: String, Default: x}}\n" for n in range(200))
        ),
        "the template has too many entries",
        "publish",
        "CloudFormation takes 200",
    ),
    "a default for the project's name": (
        template("    Description: Name of the project\n", "    Description: Name of the project\n    Default: x\n"),
        "a parameter of SageMaker's has a default",
        "launch",
        "SageMakerProjectName",
    ),
    "a pattern that refuses long names": (
        template("{0,31}$", "{0,11}$"),
        "the template cannot be launched",
        "launch",
        "SageMakerProjectName",
    ),
    "a parameter that nobody fills in": (
        template("  TrainOnCommit:\n    Type", "  CostCenter: {Type: String}\n  TrainOnCommit:\n    Type"),
        "the template cannot be launched",
        "launch",
        "CostCenter",
    ),
    "an over-long name": (
        template(
            "sagemaker-${SageMakerProjectId}-approved", "sagemaker-${SageMakerProjectName}-${SageMakerProjectId}-ok"
        ),
        "a name can become too long",
        "launch",
        "ApprovedRule.Name",
    ),
    "a reference to what is not there": (
        template("!GetAtt Repository.CloneUrlHttp", "!GetAtt Repository.CloneUrl"),
        "a reference leads nowhere",
        "launch",
        "CloneUrl",
    ),
    "a type that the region lacks": (
        template("AWS::Logs::LogGroup", "AWS::Logs::LogGroupe"),
        "a resource type is not available in the region",
        "launch",
        "AWS::Logs::LogGroupe",
    ),
    "a property that is none": (
        template("      ExecutionMode: QUEUED", "      ExecutionMode: SOMETIMES"),
        "a property is not valid",
        "launch",
        "SOMETIMES",
    ),
    "no such launch role": (launch_role_elsewhere, "the launch role does not exist", "launch", "--launch-role-arn"),
    "a launch role that trusts somebody else": (
        trusts(LAUNCH, {"Service": "cloudformation.amazonaws.com"}),
        "the launch role does not trust servicecatalog.amazonaws.com",
        "launch",
        "sts:AssumeRole",
    ),
    "a launch role that cannot make the key": (
        lacks(LAUNCH, "kms:CreateKey"),
        "the launch role lacks kms:CreateKey",
        "launch",
        '"Action": ["kms:CreateKey"]',
    ),
    "a launch role that cannot fill the repository": (
        lacks(LAUNCH, "codecommit:CreateCommit"),
        "the launch role lacks codecommit:CreateCommit",
        "launch",
        "codecommit:eu-west-1",
    ),
    "a launch role that cannot delete a pipeline": (
        lacks(LAUNCH, "codepipeline:DeletePipeline"),
        "the launch role lacks codepipeline:DeletePipeline",
        "launch",
        "Pipeline",
    ),
    "a launch role that cannot change a bucket": (
        lacks(LAUNCH, "s3:PutLifecycleConfiguration"),
        "the launch role lacks s3:PutLifecycleConfiguration",
        "launch",
        "sagemaker-project-*",
    ),
    "a launch role that hands on nothing": (
        lacks(LAUNCH, "iam:PassRole"),
        "the launch role lacks iam:PassRole",
        "launch",
        "iam:PassedToService",
    ),
    "a launch role that reads nothing": (
        lacks(LAUNCH, "s3:GetObject"),
        "the launch role lacks s3:GetObject",
        "launch",
        "Repository",
    ),
    "a launch role whose boundary leaves no keys": (
        bounded,
        "the launch role lacks kms:CreateAlias",
        "launch",
        "ArtifactKey",
    ),
    "a service role that is not there": (
        template("sagemaker-seed/sagemaker-seed-build", "sagemaker-seed/sagemaker-seed-builder"),
        "a build's role does not exist",
        "build",
        "data-science-account.yaml",
    ),
    "a pipeline that cannot build": (
        lacks("sagemaker-seed-codepipeline", "codebuild:StartBuild"),
        "the pipeline's role lacks codebuild:StartBuild",
        "build",
        "project/sagemaker-*",
    ),
    "a pipeline that cannot reach another account": (
        lacks("sagemaker-seed-codepipeline", "sts:AssumeRole"),
        "the pipeline's role lacks sts:AssumeRole",
        "build",
        "sagemaker-seed-deploy",
    ),
    "a build that cannot write": (
        lacks("sagemaker-seed-build", "s3:PutObject"),
        "a build's role lacks s3:PutObject",
        "build",
        "artifacts",
    ),
    "a build that cannot see the registry": (
        lacks("sagemaker-seed-build", "sagemaker:ListModelPackages"),
        "a build's role lacks sagemaker:ListModelPackages",
        "build",
        "model-package-group",
    ),
    "a test that cannot reach another account": (
        lacks("sagemaker-seed-test", "sts:AssumeRole"),
        "a build's role lacks sts:AssumeRole",
        "deploy",
        "sagemaker-seed-deploy",
    ),
    "an event that cannot start anything": (
        trusts("sagemaker-seed-events", {"Service": "lambda.amazonaws.com"}),
        "the events' role does not trust events.amazonaws.com",
        "build",
        "sagemaker-seed-events",
    ),
    "a training that cannot register": (
        lacks("sagemaker-seed-training", "sagemaker:CreateModelPackage"),
        "the training's role lacks sagemaker:CreateModelPackage",
        "build",
        "TrainProject",
    ),
    "an unassumable role": (
        trusts("sagemaker-seed-deploy", {"AWS": "999999999999"}, "staging"),
        "the staging deploy role cannot be assumed",
        "deploy",
        "sagemaker-seed-codepipeline",
    ),
    "a role that asks for an external id that nobody says": (
        asks_for_an_external_id,
        "the staging deploy role cannot be assumed",
        "deploy",
        "sagemaker-seed-test",
    ),
    "a deploy role that cannot use the key": (
        lacks("sagemaker-seed-deploy", "kms:Decrypt", "prod"),
        "the prod deploy role lacks kms:Decrypt",
        "deploy",
        "model artifacts",
    ),
    "a model that cannot read its artifact": (
        lacks("sagemaker-seed-model", "s3:GetObject", "staging"),
        "the staging model's role lacks s3:GetObject",
        "deploy",
        "sagemaker-project-*",
    ),
    "a stage that cannot make a model": (
        lacks("sagemaker-seed-cloudformation", "sagemaker:CreateModel", "prod"),
        "CloudFormation's prod role lacks sagemaker:CreateModel",
        "deploy",
        "prod endpoint",
    ),
    "a model role that is not there": (
        option(parameters={"SageMakerExecutionRoleProdName": "team/nobody"}),
        "the prod model's role does not exist",
        "deploy",
        "target-account.yaml",
    ),
    "a key that lets nobody in": (
        template("Action: [kms:Decrypt, kms:DescribeKey]", "Action: [kms:DescribeKey]", 2),
        "the key of the artifacts does not let the staging deploy role in",
        "deploy",
        "across accounts",
    ),
    "a stage that cannot watch an update": (
        lacks("sagemaker-seed-cloudformation", "cloudwatch:PutMetricAlarm", "prod"),
        "CloudFormation's prod role lacks cloudwatch:PutMetricAlarm",
        "deploy",
        "the prod endpoint: ErrorAlarm",
    ),
    "a model that an AWS key locks in": (
        trained(ServerSideEncryption="aws:kms"),
        "a model is encrypted with a key that other accounts cannot use",
        "deploy",
        "train it again",
    ),
    "a model under a key of somebody's own": (
        own_key,
        "the policy of a model's key does not let CloudFormation's staging role in",
        "deploy",
        "kms:Decrypt",
    ),
    "a model in a bucket that lets no stage in": (
        trained(),
        "the policy of a model's bucket does not let the prod model's role in",
        "deploy",
        "s3:GetObject",
    ),
    "a model whose artifact is gone": (untrained, "a model's artifact is gone", "deploy", "model.tar.gz"),
    "a model that is shared with somebody else": (
        unshared,
        "CloudFormation's prod role cannot read the model packages",
        "deploy",
        "sagemaker:CreateModel",
    ),
    "a profile of another account": (wrong_profile, "the profile is of another account", "deploy", "--staging-account"),
    "an image that AWS gave up": (
        template("amazonlinux-x86_64-standard:5.0", "amazonlinux2-x86_64-standard:3.0"),
        "a build's image is not maintained",
        "build",
        "amazonlinux-x86_64-standard:5.0",
    ),
    "a Python that the image lacks": (
        edited("buildspec.yml", 'python: "3.12"', 'python: "3.8"'),
        "the build's image lacks a Python",
        "build",
        "python 3.8",
    ),
    "a stage file that names no parameter": (
        edited("prod-config-template.json", '"EndpointInstanceCount"', '"EndpointInstanceCounts"'),
        "a stage cannot be deployed as its file says",
        "build",
        "has no parameter EndpointInstanceCounts",
    ),
    "a stage file that breaks a rule": (
        edited("staging-config-template.json", '"EndpointInstanceCount": 1', '"EndpointInstanceCount": 0'),
        "a stage cannot be deployed as its file says",
        "build",
        "EndpointInstanceCount",
    ),
    "an endpoint template that is none": (
        edited("cfn-sm-endpoint-template.yml", "Resources:\n", "Resource:\n"),
        "the endpoint template is no template",
        "build",
        "Resource",
    ),
    "an endpoint with a property that is none": (
        edited(
            "cfn-sm-endpoint-template.yml", "          InitialVariantWeight: !If [S", "          InitialWeight: !If [S"
        ),
        "a property is not valid",
        "deploy",
        "cfn-sm-endpoint-template.yml with staging-config-template.json: EndpointConfig",
    ),
    "an endpoint whose name can become too long": (
        edited(
            "cfn-sm-endpoint-template.yml",
            'EndpointName: !Sub "${SageMakerProjectName}-${SageMakerProjectId}-${StageName}"',
            'EndpointName: !Sub "${SageMakerProjectName}-${SageMakerProjectId}-endpoint-${StageName}"',
        ),
        "a name can become too long",
        "deploy",
        "AWS::SageMaker::Endpoint takes 63",
    ),
    "a buildspec that is gone": (removed, "a buildspec is missing", "build", "training/buildspec.yml"),
    "an XGBoost of yesterday": (
        edited("training/settings.json", '"version": "3.2-0"', '"version": "1.2-1"'),
        "the XGBoost image is not supported",
        "build",
        max(XGBOOST_UNTIL, key=lambda name: XGBOOST_UNTIL[name]),
    ),
}


def test_nothing_is_found_in_what_our_own_templates_make(made: Ground, seed: Seed) -> None:
    variants: tuple[dict[str, Any], ...] = ({}, {"stage_clients": {}, "stage_ids": {}})
    for more in variants:
        result = check_in(made, seed, Console(json=True), **more)
        assert result["findings"] == []
        assert result["notes"] == []


VARIANTS = [f"{q.name}={choice}" for q in QUESTIONS if q.name != "publish_to" for choice in q.choices[1:]]


@pytest.mark.parametrize("answer", VARIANTS)
def test_nothing_is_found_in_what_other_answers_render(answer: str, made: Ground, tmp_path: Path) -> None:
    other = read_seed(render([f"aws_region={REGION}", answer, "project_name=Other"], tmp_path))
    # These accounts are made for the default deploy target; what the others take is looked at beside it.
    if answer in {"inference=asynchronous", "inference=batch"}:  # the stages have a template more
        with ground(other, Console(json=True)) as own:
            assert check_in(own, other, Console(json=True))["findings"] == []
    elif not answer.startswith("deploy_target"):
        assert check_in(made, other, Console(json=True))["findings"] == []
    alone = flow.check(None, REGION, Console(json=True), seed=other)
    assert (alone["findings"], alone["account"]) == ([], None)


def test_it_reads_only(made: Ground, seed: Seed) -> None:
    before = len(made.aws.calls())
    check_in(made, seed, Console(json=True))
    calls = made.aws.calls()[before:]
    assert len(calls) > 50
    assert [call.operation for call in calls if call.writes] == []


def test_without_a_seed_the_accounts_are_held_against_our_template(made: Ground) -> None:
    result = check_in(made, None, Console(json=True))
    assert result["findings"] == []


def test_a_stage_that_may_not_be_looked_into_is_said(made: Ground, seed: Seed) -> None:
    result = check_in(made, seed, Console(json=True), stage_clients={})
    assert result["findings"] == []
    assert [note.split(":")[0].split()[0] for note in result["notes"]] == ["staging", "prod"]


def assert_found(findings: list[dict[str, str]], what: str, when: str, part: str) -> None:
    """Whether a fault was found, when it fails, with a part of what is said, and with nothing left out."""
    found = [finding for finding in findings if what in finding["what"]]
    assert found, findings
    assert found[0]["when"] == when, found
    assert part in " ".join(found[0].values()), found
    assert all(found[0][part] for part in ("where", "why", "fix")), found


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str, made: Ground, seed: Seed, tmp_path: Path) -> None:
    act, what, when, part = FAULTS[name]
    with ExitStack() as undo:
        scene = Scene(made, seed, tmp_path, undo)
        act(scene)
        assert_found(scene.check(), what, when, part)


def test_the_command_prints_json_and_fails_on_findings(
    made: Ground, seed: Seed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in made.aws.environment().items():
        monkeypatch.setenv(name, value)
    words = ["check", str(seed.folder), "--bucket", made.bucket, "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is True
    assert result["findings"] == []
    words[words.index(made.bucket)] = "sagemaker-none"
    assert main(words) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert [finding["what"] for finding in result["findings"]] == ["the seed bucket does not exist"]
    assert main(["check", "--to", "aws"]) == 2


@pytest.fixture(scope="module")
def bundle(seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.write(bundles.pack(seed.folder), tmp_path_factory.mktemp("zip") / "iris.zip")


def test_a_bundle_is_checked_like_its_folder_and_without_an_account(
    made: Ground,
    seed: Seed,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in made.aws.environment().items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--bundle", str(bundle), "--bucket", made.bucket, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["notes"] == [], "the bundle is the one that is published"
    before = len(made.aws.calls())
    assert main(["check", "--bundle", str(bundle), "--to", "nowhere"]) == 0
    assert main(["check", "--bundle", str(seed.folder), "--to", "nowhere"]) == 0
    assert len(made.aws.calls()) == before
    said = capsys.readouterr().out
    assert said.count("no account was looked into") == said.count(f"nothing found in the seed {REGION}") == 2
    shutil.copytree(seed.folder, tmp_path / "seed")
    (tmp_path / "seed/.env").write_text("SECRET=1\n")
    (tmp_path / "seed/buildspec.yml").unlink()
    shutil.make_archive(str(tmp_path / "by-hand"), "zip", tmp_path / "seed")
    assert main(["check", "--bundle", str(tmp_path / "by-hand.zip"), "--to", "nowhere", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {finding["what"] for finding in findings} == {"the seed code cannot be packed", "a buildspec is missing"}
    assert "the bundle .env" in {f"{f['where']} {f['why'].partition(':')[0]}" for f in findings}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"iris/seed.json": "{}", "iris/build.py": ""}, "everything lies in the folder iris/"),
        ({"build.py": "", "README.md": ""}, "it has no seed.json"),
        ({"seed.json": "{}", "../seed.json": "{}"}, "lies outside the repository"),
        ({"seed.json": "{}", "/etc/x": ""}, "lies outside the repository"),
        ({}, "holds no file"),
        (None, "is no zip that can be read"),
    ],
)
def test_a_zip_that_is_no_bundle_is_bad_input(
    entries: dict[str, str] | None, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.zip"
    path.write_bytes(b"PK\x03\x04 and nothing")
    if entries is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in entries.items():
                archive.writestr(name, text)
    assert main(["check", "--bundle", str(path), "--to", "nowhere"]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path.parent / "seed.json").exists()


def test_a_seed_and_a_bundle_are_one_too_many(seed: Seed, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(seed.folder), "--bundle", str(bundle)]) == 2
    assert "not both" in capsys.readouterr().err


def test_without_schemas_the_command_that_brings_them_is_named(
    seed: Seed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flow, "data_folder", schemas.data_folder.__wrapped__)  # not what is remembered
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["check", str(seed.folder), "--to", "nowhere"]) == 1
    assert "pip install 'sagemaker-seed[check]'" in capsys.readouterr().err


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_table_and_colours_unless_it_wants_none(colour: bool, seed: Seed, tmp_path: Path) -> None:
    shutil.copytree(seed.folder, tmp_path / "seed")
    (tmp_path / "seed/buildspec.yml").unlink()
    code = "from sagemaker_seed.cli import entry; entry()"
    words = [sys.executable, "-c", code, "check", str(tmp_path / "seed"), "--to", "nowhere"]
    env = {**clean_environment(), "COLUMNS": "100", "TERM": "xterm", "PYTHONPATH": str(ROOT / "product")}
    ours, theirs = pty.openpty()
    with subprocess.Popen(words, stdout=theirs, env=env | ({} if colour else {"NO_COLOR": "1"})) as ran:
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
    os.close(ours)
    text = said.decode()
    assert ran.returncode == 1
    assert "fails at" in text
    assert "a buildspec is missing" in text
    assert "render the seed again" in text
    assert ("\x1b[31m" in text) is colour


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # as Linux says that the other end is closed
        return b""


def test_the_check_knows_nothing_of_the_rehearsal() -> None:
    code = "import sys, sagemaker_seed.check.flow; print([m for m in sys.modules if 'rehearsal' in m or m == 'moto'])"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "product"
    )
    assert said.stdout.strip() == "[]"
