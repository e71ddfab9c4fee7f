"""Launching products of the embedded Service Catalog, and SageMaker projects on top of them, through boto3."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EmbeddedAws

REGION = "eu-west-1"
TYPE = "CLOUD_FORMATION_TEMPLATE"
TEMPLATE = """
Parameters:
  SageMakerProjectName: {Type: String}
  SageMakerProjectId: {Type: String}
  Suffix: {Type: String, Default: data}
Resources:
  Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: !Sub '${SageMakerProjectId}-${Suffix}'}}
Outputs:
  Name: {Value: !Ref Bucket, Description: The project's bucket}
"""
accounts = count(700_000_000_000)


def trust(*services: str, account: str = "") -> str:
    principal: dict[str, Any] = {"Service": list(services)} if services else {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refusal:
        call()
    error = refusal.value.response["Error"]
    return error["Code"], error["Message"]


class Studio:
    """An account with a product that its data scientists may launch, and one of them."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, self.account = aws, str(next(accounts))
        iam = aws.client("iam", self.account)
        allow_all = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        )
        self.roles = {}
        for name, trusted in {
            "launch": trust("servicecatalog.amazonaws.com"),
            "scientist": trust(account=self.account),
            "stranger": trust(account=self.account),
        }.items():
            role = iam.create_role(RoleName=name, Path="/studio/", AssumeRolePolicyDocument=trusted)["Role"]
            iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=allow_all)
            self.roles[name] = str(role["Arn"])
        self.bucket = f"templates-{self.account}"
        self.s3 = aws.client("s3", self.account)
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.admin = aws.client("servicecatalog", self.account)
        self.portfolio = self.admin.create_portfolio(DisplayName="seeds", ProviderName="platform")["PortfolioDetail"][
            "Id"
        ]
        self.product = self.admin.create_product(
            Name="seed",
            Owner="platform",
            ProductType=TYPE,
            ProvisioningArtifactParameters=self.artifact("v1", TEMPLATE),
            Tags=[{"Key": "sagemaker:studio-visibility", "Value": "true"}],
        )["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
        self.offer(self.portfolio)
        self.catalog, self.sagemaker = self.clients("scientist")

    @property
    def broken(self) -> str:
        """A template whose stack fails: it makes a bucket that there is already."""
        return TEMPLATE.replace("${SageMakerProjectId}-${Suffix}", self.bucket)

    def offer(self, portfolio: str) -> None:
        self.admin.associate_product_with_portfolio(ProductId=self.product, PortfolioId=portfolio)
        self.admin.associate_principal_with_portfolio(
            PortfolioId=portfolio, PrincipalARN=self.roles["scientist"], PrincipalType="IAM"
        )
        self.constrain({"RoleArn": self.roles["launch"]}, portfolio)

    def constrain(self, parameters: dict[str, Any], portfolio: str = "", kind: str = "LAUNCH") -> Any:
        return self.admin.create_constraint(
            PortfolioId=portfolio or self.portfolio,
            ProductId=self.product,
            Type=kind,
            Parameters=json.dumps(parameters),
        )

    def artifact(self, name: str, template: str) -> dict[str, Any]:
        self.s3.put_object(Bucket=self.bucket, Key=f"{name}.yaml", Body=template)
        url = f"https://{self.bucket}.s3.{REGION}.amazonaws.com/{name}.yaml"
        return {"Name": name, "Type": TYPE, "Info": {"LoadTemplateFromURL": url}}

    def version(self, name: str, template: str) -> str:
        made = self.admin.create_provisioning_artifact(ProductId=self.product, Parameters=self.artifact(name, template))
        return str(made["ProvisioningArtifactDetail"]["Id"])

    def first_version(self) -> str:
        listed = self.admin.list_provisioning_artifacts(ProductId=self.product)
        return str(listed["ProvisioningArtifactDetails"][0]["Id"])

    def clients(self, role: str) -> tuple[Any, Any]:
        """Clients of Service Catalog and SageMaker of a session of a role; they try once."""
        assumed = self.aws.client("sts", self.account).assume_role(RoleArn=self.roles[role], RoleSessionName="anna")
        key, once = assumed["Credentials"]["AccessKeyId"], Config(retries={"total_max_attempts": 1})
        return (
            self.aws.client("servicecatalog", key, config=once),
            self.aws.client("sagemaker", key, config=once),
        )

    def id_of(self, name: str) -> str:
        """An id that is in no bucket's name yet, whichever account's."""
        return f"p-{name}-{self.account}"

    def launch(self, name: str = "one", **more: Any) -> dict[str, Any]:
        """Launches the product; returns the record when it has ended."""
        given = {"SageMakerProjectName": name, "SageMakerProjectId": self.id_of(name)}
        parameters = [{"Key": key, "Value": value} for key, value in given.items()]
        more = {"ProvisioningArtifactId": self.first_version(), "ProvisioningParameters": parameters, **more}
        record = self.catalog.provision_product(ProductId=self.product, ProvisionedProductName=name, **more)
        return self.ended(record["RecordDetail"]["RecordId"])

    def ended(self, record: str) -> dict[str, Any]:
        for _ in range(400):
            answer: dict[str, Any] = self.catalog.describe_record(Id=record)
            if answer["RecordDetail"]["Status"] in {"SUCCEEDED", "FAILED"}:
                return answer
            time.sleep(0.02)
        raise TimeoutError(f"record {record} does not end")

    def project(self, name: str, **more: Any) -> dict[str, Any]:
        """A project, when it is not on its way any more."""
        details = {"ProductId": self.product, **more}
        self.sagemaker.create_project(ProjectName=name, ServiceCatalogProvisioningDetails=details)
        return self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        for _ in range(400):
            project: dict[str, Any] = self.sagemaker.describe_project(ProjectName=name)
            if not project["ProjectStatus"].endswith(("InProgress", "Pending")):
                return project
            time.sleep(0.02)
        raise TimeoutError(f"project {name} stays {project['ProjectStatus']}")

    def buckets(self) -> set[str]:
        return {bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]} - {self.bucket}


@pytest.fixture
def studio(aws: EmbeddedAws) -> Studio:
    return Studio(aws)


def test_a_launch_makes_a_stack_as_the_launch_role(studio: Studio) -> None:
    ended = studio.launch()
    record = ended["RecordDetail"]
    assert (record["Status"], record["RecordType"], record["RecordErrors"]) == ("SUCCEEDED", "PROVISION_PRODUCT", [])
    assert record["LaunchRoleArn"] == studio.roles["launch"]
    assert studio.buckets() == {f"{studio.id_of('one')}-data"}
    outputs = {output["OutputKey"]: output["OutputValue"] for output in ended["RecordOutputs"]}
    assert outputs["Name"] == f"{studio.id_of('one')}-data"
    (stack,) = studio.aws.client("cloudformation", studio.account).describe_stacks()["Stacks"]
    assert outputs["CloudformationStackARN"] == stack["StackId"]
    assert stack["StackName"] == f"SC-{studio.account}-{record['ProvisionedProductId']}"
    assert re.fullmatch(r"pp-[a-z0-9]{13}", record["ProvisionedProductId"])
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == {"sagemaker:studio-visibility": "true"}
    seen = studio.catalog.describe_provisioned_product(Name="one")["ProvisionedProductDetail"]
    assert (seen["Status"], seen["LastSuccessfulProvisioningRecordId"]) == ("AVAILABLE", record["RecordId"])
    assert studio.catalog.get_provisioned_product_outputs(ProvisionedProductName="one", OutputKeys=["Name"])[
        "Outputs"
    ] == [{"OutputKey": "Name", "OutputValue": f"{studio.id_of('one')}-data", "Description": "The project's bucket"}]


def test_a_stack_that_fails_leaves_its_reason_with_the_record_and_can_be_terminated(studio: Studio) -> None:
    ended = studio.launch(ProvisioningArtifactId=studio.version("broken", studio.broken))
    record = ended["RecordDetail"]
    assert record["Status"] == "FAILED"
    assert "bucket" in record["RecordErrors"][0]["Description"].lower()
    seen = studio.catalog.describe_provisioned_product(Id=record["ProvisionedProductId"])["ProvisionedProductDetail"]
    assert seen["Status"] == "ERROR"
    assert seen["StatusMessage"] == record["RecordErrors"][0]["Description"]
    assert "LastSuccessfulProvisioningRecordId" not in seen
    again = studio.catalog.terminate_provisioned_product(ProvisionedProductId=record["ProvisionedProductId"])
    assert studio.ended(again["RecordDetail"]["RecordId"])["RecordDetail"]["Status"] == "SUCCEEDED"
    assert error_of(lambda: studio.catalog.describe_provisioned_product(Name="one"))[0] == "ResourceNotFoundException"


@pytest.mark.slow
def test_the_template_is_the_one_that_was_registered(studio: Studio) -> None:
    studio.s3.put_object(Bucket=studio.bucket, Key="v1.yaml", Body=studio.broken)
    assert studio.launch()["RecordDetail"]["Status"] == "SUCCEEDED"
    assert studio.buckets() == {f"{studio.id_of('one')}-data"}


def test_a_template_that_the_launch_role_cannot_read_any_more(studio: Studio) -> None:
    studio.s3.delete_object(Bucket=studio.bucket, Key="v1.yaml")
    record = studio.launch()["RecordDetail"]
    assert record["Status"] == "FAILED"
    assert "v1.yaml cannot be read: NoSuchKey" in record["RecordErrors"][0]["Description"]


@pytest.mark.slow
def test_an_update_keeps_what_it_does_not_name_and_terminating_takes_all_away(studio: Studio) -> None:
    launched = studio.launch()["RecordDetail"]
    other = studio.version("v2", TEMPLATE.replace("Outputs:", "Outputs:\n  Id: {Value: !Ref SageMakerProjectId}"))
    record = studio.catalog.update_provisioned_product(
        ProvisionedProductName="one", ProductId=studio.product, ProvisioningArtifactId=other
    )["RecordDetail"]
    ended = studio.ended(record["RecordId"])
    assert (ended["RecordDetail"]["Status"], ended["RecordDetail"]["RecordType"]) == (
        "SUCCEEDED",
        "UPDATE_PROVISIONED_PRODUCT",
    )
    assert {o["OutputKey"]: o["OutputValue"] for o in ended["RecordOutputs"]}["Id"] == studio.id_of("one")
    seen = studio.catalog.describe_provisioned_product(Name="one")["ProvisionedProductDetail"]
    assert seen["ProvisioningArtifactId"] == other
    terminated = studio.catalog.terminate_provisioned_product(ProvisionedProductName="one")["RecordDetail"]
    assert studio.ended(terminated["RecordId"])["RecordDetail"]["Status"] == "SUCCEEDED"
    assert studio.buckets() == set()
    history = studio.catalog.list_record_history()["RecordDetails"]
    assert [one["RecordId"] for one in history] == [terminated["RecordId"], record["RecordId"], launched["RecordId"]]


def test_who_may_launch_and_see_what(studio: Studio) -> None:
    catalog, _ = studio.clients("stranger")
    assert error_of(
        lambda: catalog.provision_product(
            ProductId=studio.product,
            ProvisioningArtifactId=studio.first_version(),
            ProvisionedProductName="mine",
        )
    ) == ("ResourceNotFoundException", f"No launch paths found for resource: {studio.product}")
    assert catalog.search_products()["ProductViewSummaries"] == []
    assert error_of(lambda: catalog.describe_product(Id=studio.product))[0] == "ResourceNotFoundException"
    (found,) = studio.catalog.search_products(Filters={"FullTextSearch": ["seed"]})["ProductViewSummaries"]
    assert found["ProductId"] == studio.product
    seen = studio.catalog.describe_product(Id=studio.product)
    assert [one["Name"] for one in seen["ProvisioningArtifacts"]] == ["v1"]
    assert [one["Name"] for one in seen["LaunchPaths"]] == ["seeds"]
    studio.launch()
    everybody = {"Key": "Account", "Value": "self"}
    assert catalog.search_provisioned_products()["ProvisionedProducts"] == []
    (one,) = catalog.search_provisioned_products(AccessLevelFilter=everybody)["ProvisionedProducts"]
    assert (one["Name"], one["UserArn"]) == ("one", studio.roles["scientist"])
    for query, names in {"name:one": ["one"], "name:two": [], "status:AVAILABLE": ["one"], "on": ["one"]}.items():
        answer = studio.catalog.search_provisioned_products(Filters={"SearchQuery": [query]})
        assert [one["Name"] for one in answer["ProvisionedProducts"]] == names


REFUSED_LAUNCHES: list[tuple[dict[str, Any], str, str]] = [
    ({"ProvisionedProductName": "one"}, "DuplicateResourceException", "named 'one' already"),
    ({"ProvisioningArtifactId": "pa-none"}, "ResourceNotFoundException", "pa-none not found"),
    ({"PathId": "lpv2-none"}, "ResourceNotFoundException", "No launch paths found"),
    (
        {"ProvisioningPreferences": {"StackSetAccounts": ["111111111111"]}},
        "NotImplementedByEmbeddedAws",
        "stack sets",
    ),
    ({"ProductId": "prod-none"}, "ResourceNotFoundException", "prod-none not found"),
]


def test_launches_that_are_refused(studio: Studio) -> None:
    assert studio.launch()["RecordDetail"]["Status"] == "SUCCEEDED"
    for change, code, message in REFUSED_LAUNCHES:
        given: dict[str, Any] = {
            "ProductId": studio.product,
            "ProvisioningArtifactId": studio.first_version(),
            "ProvisionedProductName": "two",
            **change,
        }
        found, said = error_of(lambda given=given: studio.catalog.provision_product(**given))  # type: ignore[misc]
        assert (found, message in said) == (code, True), said
    assert len(studio.catalog.search_provisioned_products()["ProvisionedProducts"]) == 1


@pytest.mark.slow
def test_versions_constraints_and_paths_that_forbid_a_launch(studio: Studio) -> None:
    version = studio.version("v2", TEMPLATE)
    studio.admin.update_provisioning_artifact(
        ProductId=studio.product, ProvisioningArtifactId=version, Guidance="DEPRECATED"
    )
    assert "deprecated" in error_of(lambda: studio.launch(ProvisioningArtifactId=version))[1]
    studio.admin.update_provisioning_artifact(ProductId=studio.product, ProvisioningArtifactId=version, Active=False)
    assert error_of(lambda: studio.launch(ProvisioningArtifactId=version))[0] == "ResourceNotFoundException"
    other = studio.admin.create_portfolio(DisplayName="more", ProviderName="platform")["PortfolioDetail"]["Id"]
    studio.offer(other)
    assert "several launch paths" in error_of(studio.launch)[1]
    assert studio.launch(PathName="more")["RecordDetail"]["Status"] == "SUCCEEDED"
    studio.aws.client("iam", studio.account).delete_role_policy(RoleName="launch", PolicyName="all")
    studio.aws.client("iam", studio.account).delete_role(RoleName="launch")
    code, message = error_of(lambda: studio.launch("late", PathName="more"))
    assert code == "InvalidParametersException"
    assert f"launch role {studio.roles['launch']} cannot be assumed" in message
    studio.constrain({"Rules": {}}, kind="TEMPLATE")
    assert error_of(lambda: studio.launch("ruled", PathName="seeds"))[0] == "NotImplementedByEmbeddedAws"


def test_a_project_gets_an_id_and_gives_name_id_and_tags_to_its_stack(studio: Studio) -> None:
    project = studio.project("iris", ProvisioningParameters=[{"Key": "Suffix", "Value": "flowers"}])
    assert project["ProjectStatus"] == "CreateCompleted"
    identifier = project["ProjectId"]
    assert re.fullmatch(r"p-[a-z0-9]{12}", identifier)
    assert project["ProjectArn"] == f"arn:aws:sagemaker:{REGION}:{studio.account}:project/iris"
    assert studio.buckets() == {f"{identifier}-flowers"}
    (stack,) = studio.aws.client("cloudformation", studio.account).describe_stacks()["Stacks"]
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == {
        "sagemaker:project-name": "iris",
        "sagemaker:project-id": identifier,
        "sagemaker:studio-visibility": "true",
    }
    assert project["ServiceCatalogProvisioningDetails"]["ProvisioningArtifactId"] == studio.first_version()
    provisioned = project["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
    (launched,) = studio.catalog.search_provisioned_products()["ProvisionedProducts"]
    assert (launched["Id"], launched["Name"]) == (provisioned, f"iris-{identifier}")
    (listed,) = studio.sagemaker.list_projects(NameContains="iri")["ProjectSummaryList"]
    assert (listed["ProjectName"], listed["ProjectStatus"]) == ("iris", "CreateCompleted")
    assert studio.sagemaker.list_projects(NameContains="rose")["ProjectSummaryList"] == []


def test_a_project_that_fails_says_why_and_can_be_deleted(studio: Studio) -> None:
    project = studio.project("iris", ProvisioningArtifactId=studio.version("broken", studio.broken))
    assert project["ProjectStatus"] == "CreateFailed"
    said = project["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
    assert "bucket" in said.lower()
    studio.sagemaker.delete_project(ProjectName="iris")
    assert studio.settled("iris")["ProjectStatus"] == "DeleteCompleted"
    assert studio.sagemaker.list_projects()["ProjectSummaryList"] == []
    assert studio.project("iris", ProvisioningArtifactId=studio.first_version())["ProjectStatus"] == "CreateCompleted"


@pytest.mark.slow
def test_a_project_is_updated_and_deleted_with_its_stack(studio: Studio) -> None:
    identifier = studio.project("iris")["ProjectId"]
    other = studio.version("v2", TEMPLATE.replace("Outputs:", "Outputs:\n  Id: {Value: !Ref SageMakerProjectId}"))
    studio.sagemaker.update_project(
        ProjectName="iris",
        ProjectDescription="of flowers",
        ServiceCatalogProvisioningUpdateDetails={"ProvisioningArtifactId": other},
    )
    project = studio.settled("iris")
    assert (project["ProjectStatus"], project["ProjectDescription"]) == ("UpdateCompleted", "of flowers")
    outputs = studio.catalog.get_provisioned_product_outputs(ProvisionedProductName=f"iris-{identifier}")["Outputs"]
    assert {o["OutputKey"]: o["OutputValue"] for o in outputs}["Id"] == identifier
    studio.sagemaker.delete_project(ProjectName="iris")
    assert studio.settled("iris")["ProjectStatus"] == "DeleteCompleted"
    assert studio.buckets() == set()
    assert "does not exist" in error_of(lambda: studio.sagemaker.delete_project(ProjectName="iris"))[1]


def test_a_project_that_is_refused(studio: Studio) -> None:
    create = studio.sagemaker.create_project
    details = {"ProductId": studio.product}
    studio.project("iris")
    assert error_of(lambda: create(ProjectName="iris", ServiceCatalogProvisioningDetails=details)) == (
        "ValidationException",
        "Project with name iris already exists.",
    )
    assert "projectName" in error_of(lambda: create(ProjectName="-", ServiceCatalogProvisioningDetails=details))[1]
    provider = {"TemplateName": "t", "TemplateURL": "https://bucket.s3.amazonaws.com/t.yaml"}
    code, message = error_of(lambda: create(ProjectName="s3", TemplateProviders=[{"CfnTemplateProvider": provider}]))
    assert code == "NotImplementedByEmbeddedAws"
    assert "sagemaker:CreateProject" in message
    _, sagemaker = studio.clients("stranger")
    code, message = error_of(
        lambda: sagemaker.create_project(ProjectName="mine", ServiceCatalogProvisioningDetails=details)
    )
    assert (code, studio.product in message) == ("ValidationException", True)
    assert "does not exist" in error_of(lambda: sagemaker.describe_project(ProjectName="mine"))[1]


@pytest.mark.slow
def test_tags_of_a_project(studio: Studio) -> None:
    details = {"ProductId": studio.product}
    arn = studio.sagemaker.create_project(
        ProjectName="iris", ServiceCatalogProvisioningDetails=details, Tags=[{"Key": "team", "Value": "a"}]
    )["ProjectArn"]
    studio.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}, {"Key": "cost", "Value": "1"}])
    tags = studio.sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "b", "cost": "1"}
    studio.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["cost"])
    assert studio.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "b"}]
    other = arn.replace("project/iris", "project/rose")
    assert "does not exist" in error_of(lambda: studio.sagemaker.list_tags(ResourceArn=other))[1]
    assert studio.settled("iris")["ProjectStatus"] == "CreateCompleted"


def test_the_switch_for_sagemakers_own_portfolio(studio: Studio) -> None:
    def status() -> str:
        return str(studio.sagemaker.get_sagemaker_servicecatalog_portfolio_status()["Status"])

    def shared() -> list[str]:
        found = catalog.list_accepted_portfolio_shares(PortfolioShareType="AWS_SERVICECATALOG")["PortfolioDetails"]
        return [portfolio["ProviderName"] for portfolio in found]

    catalog = studio.admin
    own = len(catalog.list_portfolios()["PortfolioDetails"])
    assert (status(), shared()) == ("Disabled", [])
    for _ in range(2):
        studio.sagemaker.enable_sagemaker_servicecatalog_portfolio()
        assert (status(), shared()) == ("Enabled", ["Amazon SageMaker"])
    (portfolio,) = catalog.list_accepted_portfolio_shares()["PortfolioDetails"]
    role = {"PrincipalARN": "arn:aws:iam::111111111111:role/studio", "PrincipalType": "IAM"}
    catalog.associate_principal_with_portfolio(PortfolioId=portfolio["Id"], **role)
    assert catalog.list_principals_for_portfolio(PortfolioId=portfolio["Id"])["Principals"] == [role]
    assert len(catalog.list_portfolios()["PortfolioDetails"]) == own, "it is shared, not one's own"
    code, _ = error_of(lambda: catalog.accept_portfolio_share(PortfolioId="port-of-nobody"))
    assert code == "ResourceNotFoundException"
    for _ in range(2):
        studio.sagemaker.disable_sagemaker_servicecatalog_portfolio()
        assert (status(), shared()) == ("Disabled", [])
