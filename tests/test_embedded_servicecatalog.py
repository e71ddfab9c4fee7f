"""The embedded Service Catalog, through boto3: what a publisher does with it, and everything that it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
  ProjectName: {Type: String, MaxLength: 32, AllowedPattern: '^[a-z-]+$', Description: Its name}
  Count: {Type: Number, Default: 2, AllowedValues: [1, 2]}
  Secret: {Type: String, NoEcho: true}
Conditions:
  Many: !Not [!Equals [!Ref Count, 1]]
Resources:
  Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: !Sub '${ProjectName}-x'}}
Outputs:
  Name: {Value: !GetAtt Bucket.Arn, Description: Where it is}
"""
accounts = count(100_000_000_000)


class Catalog:
    """An account of its own, with a bucket, a template in it, and short ways to make things."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws, self.account = aws, str(next(accounts))
        # boto3 takes a limit of the catalog for throttling, and would try again
        once = Config(retries={"total_max_attempts": 1})
        self.sc: Any = aws.client("servicecatalog", self.account, config=once)
        self.s3: Any = aws.client("s3", self.account)
        self.bucket = f"templates-{self.account}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.put("t.yaml", TEMPLATE)

    def put(self, key: str, body: str | bytes, **more: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def url(self, key: str = "t.yaml") -> str:
        return f"https://{self.bucket}.s3.{REGION}.amazonaws.com/{key}"

    def artifact(self, name: str = "v1", url: str | None = None, **more: Any) -> dict[str, Any]:
        return {"Name": name, "Type": TYPE, "Info": {"LoadTemplateFromURL": url or self.url()}, **more}

    def product(self, name: str = "product", **more: Any) -> str:
        made = self.sc.create_product(
            **{
                "Name": name,
                "Owner": "platform",
                "ProductType": TYPE,
                "ProvisioningArtifactParameters": self.artifact(),
                **more,
            }
        )
        return str(made["ProductViewDetail"]["ProductViewSummary"]["ProductId"])

    def version(self, product: str, name: str = "v2", url: str | None = None, **more: Any) -> Any:
        return self.sc.create_provisioning_artifact(ProductId=product, Parameters=self.artifact(name, url), **more)

    def versions(self, product: str) -> list[str]:
        listed = self.sc.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
        return [detail["Name"] for detail in listed]

    def portfolio(self, name: str = "portfolio", **more: Any) -> str:
        made = self.sc.create_portfolio(DisplayName=name, ProviderName="platform", **more)
        return str(made["PortfolioDetail"]["Id"])

    def role(self, name: str = "launch") -> str:
        statement = {"Effect": "Allow", "Principal": {"AWS": self.account}, "Action": "sts:AssumeRole"}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made = self.aws.client("iam", self.account).create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        return str(made["Role"]["Arn"])

    def pair(self) -> tuple[str, str]:
        """A portfolio, and a product in it."""
        portfolio, product = self.portfolio(), self.product()
        self.sc.associate_product_with_portfolio(ProductId=product, PortfolioId=portfolio)
        return portfolio, product

    def constrain(self, portfolio: str, product: str, kind: str, parameters: Any, **more: Any) -> Any:
        text = parameters if isinstance(parameters, str) else json.dumps(parameters)
        return self.sc.create_constraint(PortfolioId=portfolio, ProductId=product, Type=kind, Parameters=text, **more)


@pytest.fixture
def catalog(aws: EmbeddedAws) -> Catalog:
    return Catalog(aws)


def refused(code: str, call: Callable[..., Any], *given: Any, **named: Any) -> str:
    """The message of the error of this code that the call meets."""
    with pytest.raises(ClientError) as refusal:
        call(*given, **named)
    assert refusal.value.response["Error"]["Code"] == code, refusal.value
    return str(refusal.value.response["Error"]["Message"])


# --- portfolios


def test_a_portfolio_from_making_to_deleting(catalog: Catalog) -> None:
    tag = {"Key": "team", "Value": "platform"}
    made = catalog.sc.create_portfolio(DisplayName="p", ProviderName="x", Description="d", Tags=[tag])
    detail = made["PortfolioDetail"]
    assert re.fullmatch(r"port-[a-z0-9]{13}", detail["Id"])
    assert detail["ARN"] == f"arn:aws:catalog:{REGION}:{catalog.account}:portfolio/{detail['Id']}"
    described = catalog.sc.describe_portfolio(Id=detail["Id"])
    assert (described["PortfolioDetail"], described["Tags"]) == (detail, [tag])
    updated = catalog.sc.update_portfolio(
        Id=detail["Id"], DisplayName="q", AddTags=[{"Key": "a", "Value": "1"}], RemoveTags=["team"]
    )
    assert updated["PortfolioDetail"] == detail | {"DisplayName": "q"}
    assert updated["Tags"] == [{"Key": "a", "Value": "1"}]
    catalog.sc.delete_portfolio(Id=detail["Id"])
    assert catalog.sc.list_portfolios()["PortfolioDetails"] == []
    for call in (catalog.sc.describe_portfolio, catalog.sc.update_portfolio, catalog.sc.delete_portfolio):
        assert detail["Id"] in refused("ResourceNotFoundException", call, Id=detail["Id"])


def test_a_portfolio_in_use_is_not_deleted(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()
    assert "1 products" in refused("ResourceInUseException", lambda: catalog.sc.delete_portfolio(Id=portfolio))
    catalog.sc.disassociate_product_from_portfolio(ProductId=product, PortfolioId=portfolio)
    role = catalog.role()
    who = {"PortfolioId": portfolio, "PrincipalARN": role, "PrincipalType": "IAM"}
    catalog.sc.associate_principal_with_portfolio(**who)
    assert "1 principals" in refused("ResourceInUseException", lambda: catalog.sc.delete_portfolio(Id=portfolio))
    catalog.sc.disassociate_principal_from_portfolio(**who)
    catalog.sc.delete_portfolio(Id=portfolio)


def test_a_hundred_portfolios_a_region(catalog: Catalog) -> None:
    for number in range(100):
        catalog.portfolio(f"p{number}")
    assert "100" in refused("LimitExceededException", catalog.portfolio)
    pages = list(catalog.sc.get_paginator("list_portfolios").paginate(PaginationConfig={"PageSize": 30}))
    assert [len(page["PortfolioDetails"]) for page in pages] == [30, 30, 30, 10]
    refused("InvalidParametersException", lambda: catalog.sc.list_portfolios(PageToken="not one"))
    assert (
        len(catalog.aws.client("servicecatalog", catalog.account, "us-east-1").list_portfolios()["PortfolioDetails"])
        == 0
    )


# --- products


def test_a_product_and_its_first_version(catalog: Catalog) -> None:
    tags = [{"Key": "sagemaker:studio-visibility", "Value": "true"}]
    made = catalog.sc.create_product(
        Name="seed",
        Owner="platform",
        Description="A seed",
        SupportEmail="a@example.com",
        ProductType=TYPE,
        Tags=tags,
        ProvisioningArtifactParameters=catalog.artifact("1.0", Description="first"),
    )
    summary = made["ProductViewDetail"]["ProductViewSummary"]
    product = summary["ProductId"]
    assert re.fullmatch(r"prod-[a-z0-9]{13}", product)
    assert made["ProductViewDetail"]["ProductARN"].endswith(f":{catalog.account}:product/{product}")
    assert (summary["Name"], summary["ShortDescription"], summary["SupportEmail"]) == (
        "seed",
        "A seed",
        "a@example.com",
    )
    first = made["ProvisioningArtifactDetail"]
    assert re.fullmatch(r"pa-[a-z0-9]{13}", first["Id"])
    assert (first["Name"], first["Description"], first["Active"], first["Guidance"]) == (
        "1.0",
        "first",
        True,
        "DEFAULT",
    )
    assert made["Tags"] == tags
    by_id, by_name = (catalog.sc.describe_product_as_admin(**{k: v}) for k, v in (("Id", product), ("Name", "seed")))
    assert by_id["ProductViewDetail"] == by_name["ProductViewDetail"]
    assert by_id["ProductViewDetail"]["Status"] == "AVAILABLE"
    assert by_id["Tags"] == tags
    assert [v["Id"] for v in by_id["ProvisioningArtifactSummaries"]] == [first["Id"]]


def test_a_product_that_is_not_there(catalog: Catalog) -> None:
    describe = catalog.sc.describe_product_as_admin
    refused("ResourceNotFoundException", lambda: describe(Id="prod-none"))
    refused("ResourceNotFoundException", lambda: describe(Name="none"))
    refused("InvalidParametersException", describe)
    refused("ResourceNotFoundException", lambda: catalog.version("prod-none"))
    refused("ResourceNotFoundException", lambda: catalog.sc.list_provisioning_artifacts(ProductId="prod-none"))
    product = catalog.product("mine")
    other = Catalog(catalog.aws)
    refused("ResourceNotFoundException", lambda: other.sc.describe_product_as_admin(Id=product))
    elsewhere = catalog.aws.client("servicecatalog", catalog.account, "us-east-1")
    refused("ResourceNotFoundException", lambda: elsewhere.describe_product_as_admin(Id=product))


def test_a_name_that_two_products_have_is_no_answer(catalog: Catalog) -> None:
    ids = {catalog.product("twin"), catalog.product("twin")}
    assert len(ids) == 2
    message = refused("InvalidParametersException", lambda: catalog.sc.describe_product_as_admin(Name="twin"))
    assert all(product in message for product in ids)


def test_updating_a_product(catalog: Catalog) -> None:
    product = catalog.product(Tags=[{"Key": "old", "Value": "1"}])
    catalog.sc.update_product(
        Id=product, Name="new name", Description="d", AddTags=[{"Key": "new", "Value": "2"}], RemoveTags=["old"]
    )
    described = catalog.sc.describe_product_as_admin(Id=product)
    assert described["ProductViewDetail"]["ProductViewSummary"]["Name"] == "new name"
    assert described["ProductViewDetail"]["ProductViewSummary"]["ShortDescription"] == "d"
    assert described["Tags"] == [{"Key": "new", "Value": "2"}]
    refused("ResourceNotFoundException", lambda: catalog.sc.describe_product_as_admin(Name="product"))


def test_deleting_a_product(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()
    assert portfolio in refused("ResourceInUseException", lambda: catalog.sc.delete_product(Id=product))
    catalog.sc.disassociate_product_from_portfolio(ProductId=product, PortfolioId=portfolio)
    catalog.sc.delete_product(Id=product)
    refused("ResourceNotFoundException", lambda: catalog.sc.delete_product(Id=product))


def test_searching_products_page_by_page(catalog: Catalog) -> None:
    portfolio = catalog.portfolio()
    ids = [catalog.product(f"p{n:02}", Owner="odd" if n % 2 else "even") for n in range(25)]
    catalog.sc.associate_product_with_portfolio(ProductId=ids[3], PortfolioId=portfolio)
    search = catalog.sc.get_paginator("search_products_as_admin")

    def names(**where: Any) -> list[str]:
        pages = search.paginate(**where)
        return [d["ProductViewSummary"]["Name"] for page in pages for d in page["ProductViewDetails"]]

    assert len(catalog.sc.search_products_as_admin()["ProductViewDetails"]) == 20
    assert names() == [f"p{n:02}" for n in range(25)]
    assert len(names(Filters={"Owner": ["odd"]})) == 12
    assert names(Filters={"FullTextSearch": ["P07"]}) == ["p07"]
    assert names(PortfolioId=portfolio) == ["p03"]
    assert names(SortBy="Title", SortOrder="DESCENDING")[0] == "p24"
    refused("ResourceNotFoundException", lambda: names(PortfolioId="port-none"))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Name", "x" * 8192, "less than or equal to 8191"),
        ("ProductType", "NONSENSE", "enum"),
        ("Tags", [{"Key": "k", "Value": "v" * 257}], "less than or equal to 256"),
        ("Tags", [{"Key": "bad\u20ackey", "Value": "v"}], "pattern"),
        ("IdempotencyToken", "-starts with a dash", "pattern"),
    ],
)
def test_what_the_model_of_the_api_forbids(catalog: Catalog, field: str, value: Any, said: str) -> None:
    assert said in refused("ValidationException", lambda: catalog.product(**{field: value}))
    assert catalog.sc.search_products_as_admin()["ProductViewDetails"] == []


def test_letters_of_any_language_are_allowed_in_tags(catalog: Catalog) -> None:
    tag = {"Key": "équipe 団", "Value": "données"}
    product = catalog.product(Tags=[tag])
    assert catalog.sc.describe_product_as_admin(Id=product)["Tags"] == [tag]


def test_tag_limits(catalog: Catalog) -> None:
    twenty = [{"Key": f"k{n}", "Value": "v"} for n in range(20)]
    more = {"Key": "one-more", "Value": "v"}
    for make in (catalog.product, catalog.portfolio):
        assert "less than or equal to 20" in refused("ValidationException", make, Tags=[*twenty, more])
    product = catalog.product(Tags=twenty)
    add = partial(catalog.sc.update_product, Id=product, AddTags=[more])
    assert "20 tags" in refused("LimitExceededException", add)
    assert len(add(RemoveTags=["k0"])["Tags"]) == 20
    refused("InvalidParametersException", lambda: catalog.product(Tags=[more, more]))
    refused("InvalidParametersException", lambda: catalog.product(Tags=[{"Key": "aws:x", "Value": "v"}]))


# --- versions


def test_a_version_from_making_to_deleting(catalog: Catalog) -> None:
    product = catalog.product()
    made = catalog.version(product, "2.0")
    assert (made["Status"], made["Info"]) == ("CREATING", {"TemplateUrl": catalog.url()})
    version = made["ProvisioningArtifactDetail"]["Id"]
    where = {"ProductId": product, "ProvisioningArtifactId": version}
    described = catalog.sc.describe_provisioning_artifact(**where)
    assert described["Status"] == "AVAILABLE"
    assert described["ProvisioningArtifactDetail"] == made["ProvisioningArtifactDetail"]
    by_name = catalog.sc.describe_provisioning_artifact(ProductName="product", ProvisioningArtifactName="2.0")
    assert by_name["ProvisioningArtifactDetail"]["Id"] == version
    updated = catalog.sc.update_provisioning_artifact(
        **where, Name="2.1", Description="d", Active=False, Guidance="DEPRECATED"
    )["ProvisioningArtifactDetail"]
    assert (updated["Name"], updated["Description"]) == ("2.1", "d")
    assert (updated["Active"], updated["Guidance"]) == (False, "DEPRECATED")
    assert catalog.versions(product) == ["v1", "2.1"]
    catalog.sc.delete_provisioning_artifact(**where)
    assert catalog.versions(product) == ["v1"]
    refused("ResourceNotFoundException", lambda: catalog.sc.describe_provisioning_artifact(**where))
    refused("ResourceNotFoundException", lambda: catalog.sc.update_provisioning_artifact(**where, Active=True))
    refused("ResourceNotFoundException", lambda: catalog.sc.delete_provisioning_artifact(**where))


def test_the_last_version_stays(catalog: Catalog) -> None:
    product = catalog.product()
    listed = catalog.sc.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
    last = {"ProductId": product, "ProvisioningArtifactId": listed[0]["Id"]}
    assert "last" in refused("ResourceInUseException", lambda: catalog.sc.delete_provisioning_artifact(**last))
    assert catalog.versions(product) == ["v1"]


@pytest.mark.slow
def test_a_hundred_versions_a_product(catalog: Catalog) -> None:
    product = catalog.product()
    ids = [catalog.version(product, f"v{n}")["ProvisioningArtifactDetail"]["Id"] for n in range(2, 101)]
    assert "100" in refused("LimitExceededException", lambda: catalog.version(product, "v101"))
    catalog.sc.delete_provisioning_artifact(ProductId=product, ProvisioningArtifactId=ids[0])
    catalog.version(product, "v101")
    assert len(catalog.versions(product)) == 100


def test_a_version_name_has_no_spaces(catalog: Catalog) -> None:
    product = catalog.product()
    assert "spaces" in refused("InvalidParametersException", lambda: catalog.version(product, "v 2"))
    version = catalog.version(product)["ProvisioningArtifactDetail"]["Id"]
    where = {"ProductId": product, "ProvisioningArtifactId": version}
    rename = partial(catalog.sc.update_provisioning_artifact, **where, Name="v 3")
    refused("InvalidParametersException", rename)
    assert catalog.versions(product) == ["v1", "v2"]


@pytest.mark.parametrize(
    "form",
    [
        "https://{bucket}.s3.{region}.amazonaws.com/t.yaml",
        "https://{bucket}.s3.amazonaws.com/t.yaml",
        "https://s3.{region}.amazonaws.com/{bucket}/t.yaml",
        "https://s3-{region}.amazonaws.com/{bucket}/t.yaml",
        "https://s3.amazonaws.com/{bucket}/t.yaml",
        "https://{bucket}.s3.{region}.amazonaws.com/folder%20one/t.yaml",
    ],
)
def test_template_urls(catalog: Catalog, form: str) -> None:
    catalog.put("folder one/t.yaml", TEMPLATE)
    url = form.format(bucket=catalog.bucket, region=REGION)
    made = catalog.version(catalog.product(), url=url)
    assert made["Info"]["TemplateUrl"] == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://{bucket}.s3.eu-west-1.amazonaws.com/none.yaml", "key does not exist: none.yaml"),
        ("https://no-such-bucket-here.s3.eu-west-1.amazonaws.com/t.yaml", "bucket does not exist"),
        ("https://{bucket}.s3.us-east-1.amazonaws.com/t.yaml", "is in eu-west-1"),
        ("http://{bucket}.s3.eu-west-1.amazonaws.com/t.yaml", "not the https URL of an S3 object"),
        ("https://example.com/t.yaml", "not the https URL of an S3 object"),
        ("https://s3.amazonaws.com/{bucket}", "names no object"),
        ("s3://{bucket}/t.yaml", "not the https URL of an S3 object"),
    ],
)
def test_template_urls_that_lead_nowhere(catalog: Catalog, url: str, said: str) -> None:
    product = catalog.product()
    call = partial(catalog.version, product, url=url.format(bucket=catalog.bucket))
    assert said in refused("InvalidParametersException", call)
    assert catalog.versions(product) == ["v1"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("Parameters: {}", "At least one Resources member"),
        ("Resources: {}", "At least one Resources member"),
        ("Resources: {A: {Properties: {}}}", "without a Type: A"),
        ("just text", "top level is not an object"),
        ("a: [unclosed", "YAML not well-formed"),
        ('{"Resources": ', "JSON not well-formed"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("#" * (1024 * 1024 + 1), "at most 1048576"),
    ],
)
def test_what_is_no_template(catalog: Catalog, body: str | bytes, said: str) -> None:
    product = catalog.product()
    catalog.put("bad.yaml", body)
    call = partial(catalog.version, product, url=catalog.url("bad.yaml"))
    assert said in refused("InvalidParametersException", call)
    refused(
        "InvalidParametersException",
        lambda: catalog.product("p", ProvisioningArtifactParameters=catalog.artifact("v1", catalog.url("bad.yaml"))),
    )
    assert catalog.versions(product) == ["v1"]


def test_a_json_template(catalog: Catalog) -> None:
    catalog.put("t.json", json.dumps({"Resources": {"A": {"Type": "AWS::SNS::Topic"}}}))
    catalog.version(catalog.product(), url=catalog.url("t.json"))


def test_validation_can_be_switched_off_but_the_object_must_be_there(catalog: Catalog) -> None:
    product = catalog.product()
    catalog.put("text", "no template")

    def make(key: str) -> None:
        unchecked = catalog.artifact("v2", catalog.url(key), DisableTemplateValidation=True)
        catalog.sc.create_provisioning_artifact(ProductId=product, Parameters=unchecked)

    make("text")
    refused("InvalidParametersException", lambda: make("none"))


def test_a_template_that_the_caller_may_not_read(catalog: Catalog) -> None:
    other = Catalog(catalog.aws)
    product = catalog.product()
    call = partial(catalog.version, product, url=other.url())
    assert "Access Denied" in refused("InvalidParametersException", call)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": catalog.account},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{other.bucket}/*",
    }
    other.s3.put_bucket_policy(Bucket=other.bucket, Policy=json.dumps({"Statement": [statement]}))
    assert call()["Status"] == "CREATING"


def test_a_version_keeps_the_template_it_was_made_of(catalog: Catalog) -> None:
    product = catalog.product()
    catalog.s3.delete_object(Bucket=catalog.bucket, Key="t.yaml")
    listed = catalog.sc.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
    asked = catalog.sc.describe_provisioning_parameters(ProductId=product, ProvisioningArtifactId=listed[0]["Id"])
    assert asked["ProvisioningArtifactParameters"][0]["ParameterKey"] == "ProjectName"


def test_the_parameters_of_a_version(catalog: Catalog) -> None:
    asked = catalog.sc.describe_provisioning_parameters(ProductId=catalog.product(), ProvisioningArtifactName="v1")
    name, number, secret = asked["ProvisioningArtifactParameters"]
    assert (name["ParameterType"], name["Description"], name["IsNoEcho"]) == ("String", "Its name", False)
    assert name["ParameterConstraints"]["MaxLength"] == "32"
    assert name["ParameterConstraints"]["AllowedPattern"] == "^[a-z-]+$"
    assert (number["DefaultValue"], number["ParameterConstraints"]["AllowedValues"]) == ("2", ["1", "2"])
    assert secret["IsNoEcho"] is True
    assert asked["ProvisioningArtifactOutputKeys"] == [{"Key": "Name", "Description": "Where it is"}]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Info": {"ImportFromPhysicalId": "arn"}}, "InvalidParametersException"),
        ({"Type": "MARKETPLACE_AMI"}, "InvalidParametersException"),
    ],
)
def test_sources_and_types_that_are_not_there(catalog: Catalog, change: dict[str, Any], code: str) -> None:
    product = catalog.product()
    parameters = catalog.artifact("v2") | change
    refused(code, lambda: catalog.sc.create_provisioning_artifact(ProductId=product, Parameters=parameters))


# --- idempotency and many at once


def test_the_same_token_gives_the_same_answer(catalog: Catalog) -> None:
    product = catalog.product()
    first, again = (catalog.version(product, IdempotencyToken="token-1") for _ in range(2))
    assert first["ProvisioningArtifactDetail"] == again["ProvisioningArtifactDetail"]
    other = catalog.version(product, IdempotencyToken="token-2")
    assert other["ProvisioningArtifactDetail"]["Id"] != first["ProvisioningArtifactDetail"]["Id"]
    assert catalog.versions(product) == ["v1", "v2", "v2"]
    call = partial(catalog.version, product, "v3", IdempotencyToken="token-1")
    assert "token-1" in refused("InvalidParametersException", call)
    assert catalog.product("p", IdempotencyToken="t") == catalog.product("p", IdempotencyToken="t")
    assert catalog.portfolio("p", IdempotencyToken="t") == catalog.portfolio("p", IdempotencyToken="t")


def test_a_token_of_a_failed_request_is_not_used_up(catalog: Catalog) -> None:
    product = catalog.product()
    make = partial(catalog.version, product, "v2", catalog.url("late.yaml"), IdempotencyToken="t")
    refused("InvalidParametersException", make)
    catalog.put("late.yaml", TEMPLATE)
    assert make()["Status"] == "CREATING"


@pytest.mark.slow
def test_twenty_threads_at_once(catalog: Catalog) -> None:
    product = catalog.product()
    with ThreadPoolExecutor(20) as pool:
        own = list(pool.map(lambda n: catalog.version(product, f"own-{n}"), range(60)))
        same = list(pool.map(lambda _: catalog.version(product, "same", IdempotencyToken="t"), range(20)))
        ids = {made["ProvisioningArtifactDetail"]["Id"] for made in own}
        assert len(ids) == 60
        assert len({made["ProvisioningArtifactDetail"]["Id"] for made in same}) == 1
        assert sorted(catalog.versions(product)) == sorted(["v1", "same", *(f"own-{n}" for n in range(60))])

        def one_more(number: int) -> str:
            try:
                catalog.version(product, f"more-{number}")
            except ClientError as error:
                return str(error.response["Error"]["Code"])
            return "made"

        outcomes = list(pool.map(one_more, range(60)))
    assert outcomes.count("made") == 38
    assert outcomes.count("LimitExceededException") == 22
    assert len(catalog.versions(product)) == 100


# --- associations and principals


def test_a_product_in_portfolios(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()
    second = catalog.portfolio("second")
    for _ in range(2):  # a second time is no error
        catalog.sc.associate_product_with_portfolio(ProductId=product, PortfolioId=second)
    listed = catalog.sc.list_portfolios_for_product(ProductId=product)["PortfolioDetails"]
    assert [p["Id"] for p in listed] == [portfolio, second]
    catalog.sc.disassociate_product_from_portfolio(ProductId=product, PortfolioId=portfolio)
    listed = catalog.sc.list_portfolios_for_product(ProductId=product)["PortfolioDetails"]
    assert [p["Id"] for p in listed] == [second]
    for ids in ((product, portfolio), ("prod-none", second), (product, "port-none")):
        where = dict(zip(("ProductId", "PortfolioId"), ids, strict=True))
        refused("ResourceNotFoundException", catalog.sc.disassociate_product_from_portfolio, **where)
    none = {"ProductId": "prod-none", "PortfolioId": second}
    refused("ResourceNotFoundException", lambda: catalog.sc.associate_product_with_portfolio(**none))


def test_principals(catalog: Catalog) -> None:
    portfolio = catalog.portfolio()
    role = f"arn:aws:iam::{catalog.account}:role/studio"
    pattern = "arn:aws:iam:::role/data-science/*"

    def add(arn: str, kind: str) -> None:
        catalog.sc.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=arn, PrincipalType=kind)

    add(role, "IAM")
    add(role, "IAM")
    add(pattern, "IAM_PATTERN")
    listed = catalog.sc.list_principals_for_portfolio(PortfolioId=portfolio)["Principals"]
    assert [p["PrincipalARN"] for p in listed] == [role, pattern]
    for arn, kind in ((role, "IAM_PATTERN"), (pattern, "IAM"), ("studio", "IAM")):
        assert kind in refused("InvalidParametersException", add, arn, kind)
    for number in range(9):
        add(f"{pattern}{number}", "IAM_PATTERN")
    refused("LimitExceededException", add, f"{pattern}9", "IAM_PATTERN")
    remove = partial(catalog.sc.disassociate_principal_from_portfolio, PortfolioId=portfolio, PrincipalARN=role)
    remove()
    refused("ResourceNotFoundException", remove)


def test_launch_paths_are_for_principals(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()

    def paths(client: Any) -> Any:
        return client.list_launch_paths(ProductId=product)["LaunchPathSummaries"]

    assert paths(catalog.sc) == []
    role = catalog.role("studio")
    catalog.sc.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=role, PrincipalType="IAM")
    catalog.constrain(portfolio, product, "LAUNCH", {"RoleArn": catalog.role()})
    path = paths(catalog.sc)[0]
    assert (path["Name"], [c["Type"] for c in path["ConstraintSummaries"]]) == ("portfolio", ["LAUNCH"])
    sts = catalog.aws.client("sts", catalog.account)
    for arn, expected in ((role, 1), (catalog.role("stranger"), 0)):
        key = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]["AccessKeyId"]
        assert len(paths(catalog.aws.client("servicecatalog", key))) == expected
    catalog.sc.associate_principal_with_portfolio(
        PortfolioId=portfolio, PrincipalARN="arn:aws:iam:::role/stran*", PrincipalType="IAM_PATTERN"
    )
    assert len(paths(catalog.aws.client("servicecatalog", key))) == 1


# --- constraints


def test_a_launch_constraint_from_making_to_deleting(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()
    parameters = {"RoleArn": catalog.role()}
    made = catalog.constrain(portfolio, product, "LAUNCH", parameters, Description="d")
    detail = made["ConstraintDetail"]
    assert re.fullmatch(r"cons-[a-z0-9]{13}", detail["ConstraintId"])
    assert (detail["Type"], detail["Owner"], detail["Description"]) == ("LAUNCH", catalog.account, "d")
    described = catalog.sc.describe_constraint(Id=detail["ConstraintId"])
    assert described["ConstraintDetail"] == detail
    assert json.loads(described["ConstraintParameters"]) == parameters
    listed = catalog.sc.list_constraints_for_portfolio(PortfolioId=portfolio, ProductId=product)
    assert listed["ConstraintDetails"] == [detail]
    other = {"RoleArn": catalog.role("other")}
    catalog.sc.update_constraint(Id=detail["ConstraintId"], Parameters=json.dumps(other))
    described = catalog.sc.describe_constraint(Id=detail["ConstraintId"])
    assert json.loads(described["ConstraintParameters"]) == other
    in_the_way = {"ProductId": product, "PortfolioId": portfolio}
    assert detail["ConstraintId"] in refused(
        "ResourceInUseException", lambda: catalog.sc.disassociate_product_from_portfolio(**in_the_way)
    )
    catalog.sc.delete_constraint(Id=detail["ConstraintId"])
    for call in (catalog.sc.describe_constraint, catalog.sc.update_constraint, catalog.sc.delete_constraint):
        refused("ResourceNotFoundException", call, Id=detail["ConstraintId"])
    catalog.sc.disassociate_product_from_portfolio(**in_the_way)


def test_one_launch_constraint_for_a_product_in_a_portfolio(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()
    role = {"RoleArn": catalog.role()}
    first = catalog.constrain(portfolio, product, "LAUNCH", role)["ConstraintDetail"]["ConstraintId"]
    again = partial(catalog.constrain, portfolio, product, "LAUNCH", role)
    assert first in refused("DuplicateResourceException", again)
    stackset = {"Version": "String", "Properties": {}}
    refused("InvalidParametersException", lambda: catalog.constrain(portfolio, product, "STACKSET", stackset))
    second = catalog.portfolio("second")
    catalog.sc.associate_product_with_portfolio(ProductId=product, PortfolioId=second)
    catalog.constrain(second, product, "LAUNCH", role)


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        ("LAUNCH", "not json", "not JSON"),
        ("LAUNCH", "[]", "must be a JSON object"),
        ("LAUNCH", {}, "RoleArn"),
        ("LAUNCH", {"RoleArn": "launch"}, "not the ARN of an IAM role"),
        ("LAUNCH", {"RoleArn": 1}, "not the ARN of an IAM role"),
        ("LAUNCH", {"RoleArn": "arn:aws:iam::{account}:role/missing"}, "does not exist"),
        ("LAUNCH", {"LocalRoleName": "missing"}, "does not exist"),
        ("LAUNCH", {"LocalRoleName": "launch", "RoleArn": "arn:aws:iam::{account}:role/launch"}, "RoleArn"),
        ("NONSENSE", {}, "not one of"),
    ],
)
def test_constraints_that_make_no_sense(catalog: Catalog, kind: str, parameters: Any, said: str) -> None:
    portfolio, product = catalog.pair()
    catalog.role()
    text = parameters if isinstance(parameters, str) else json.dumps(parameters)
    call = partial(catalog.constrain, portfolio, product, kind, text.replace("{account}", catalog.account))
    assert said in refused("InvalidParametersException", call)
    assert catalog.sc.list_constraints_for_portfolio(PortfolioId=portfolio)["ConstraintDetails"] == []


def test_a_launch_role_by_name_and_one_of_another_account(catalog: Catalog) -> None:
    portfolio, product = catalog.pair()
    catalog.role("named")
    made = catalog.constrain(portfolio, product, "LAUNCH", {"LocalRoleName": "named"})
    catalog.sc.delete_constraint(Id=made["ConstraintDetail"]["ConstraintId"])
    catalog.constrain(portfolio, product, "LAUNCH", {"RoleArn": "arn:aws:iam::999999999999:role/theirs"})


def test_a_constraint_needs_the_product_in_the_portfolio(catalog: Catalog) -> None:
    role = {"RoleArn": catalog.role()}
    portfolio, product = catalog.portfolio(), catalog.product()
    for where in ((portfolio, product), ("port-none", product), (portfolio, "prod-none")):
        refused("ResourceNotFoundException", catalog.constrain, *where, "LAUNCH", role)


def test_a_role_acts_on_its_accounts_catalog(catalog: Catalog) -> None:
    role = catalog.role("publisher")
    credentials = catalog.aws.client("sts", catalog.account).assume_role(RoleArn=role, RoleSessionName="session")
    key = credentials["Credentials"]["AccessKeyId"]
    product = catalog.product("mine")
    described = catalog.aws.client("servicecatalog", key).describe_product_as_admin(Name="mine")
    assert described["ProductViewDetail"]["ProductViewSummary"]["ProductId"] == product
