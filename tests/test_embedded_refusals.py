"""What the embedded AWS does not do it refuses by name, in the service's own protocol; strangers it keeps out."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import EXPIRED_KEY, Call, EmbeddedAws

REGION = "eu-west-1"
MINE, OTHER = "651111111111", "652222222222"


def calls_of(aws: EmbeddedAws, account: str) -> list[Call]:
    """What the account has asked; the server is shared with other tests."""
    return [call for call in aws.calls() if call.account == account]


def error_of(call: Callable[[], Any]) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as refusal:
        call()
    response = refusal.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


UNIMPLEMENTED = {
    "ours, JSON": ("servicecatalog", "execute_provisioned_product_plan", {"PlanId": "plan-x"}),
    "ours, a share that moto would store": (
        "servicecatalog",
        "create_portfolio_share",
        {"PortfolioId": "port-x", "AccountId": OTHER},
    ),
    "JSON": ("comprehend", "list_datasets", {}),
    "query": (
        "iam",
        "simulate_principal_policy",
        {"PolicySourceArn": "arn:aws:iam::111111111111:role/a-role", "ActionNames": ["s3:GetObject"]},
    ),
    "query-compatible": ("cloudwatch", "list_managed_insight_rules", {"ResourceARN": "x"}),
    "EC2": ("ec2", "describe_fleet_history", {"FleetId": "fleet-1", "StartTime": 0}),
    "REST-JSON": ("glacier", "list_provisioned_capacity", {"accountId": "-"}),
    "REST-XML": ("route53", "get_account_limit", {"Type": "MAX_ZONES_BY_OWNER"}),
    "a service that moto does not have": ("braket", "search_devices", {"filters": []}),
    "S3, read as a listing by moto": ("s3", "get_bucket_request_payment", {"Bucket": "any"}),
    "S3, written as an object by moto": ("s3", "put_bucket_intelligent_tiering_configuration", None),
    "an archive that nothing would be kept in": (
        "events",
        "create_archive",
        {"ArchiveName": "a", "EventSourceArn": "b"},
    ),
    "a model that answers in pieces": (
        "sagemaker-runtime",
        "invoke_endpoint_with_response_stream",
        {"EndpointName": "e", "Body": b"1"},
    ),
}
TIERING = {
    "Bucket": "any",
    "Id": "i",
    "IntelligentTieringConfiguration": {
        "Id": "i",
        "Status": "Enabled",
        "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
    },
}


SLOW = {"EC2"}  # a second to import


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.slow] * (what in SLOW)) for what in UNIMPLEMENTED]
)
def test_what_is_not_implemented_is_refused_by_name_and_not_tried_again(aws: EmbeddedAws, what: str) -> None:
    service, method, parameters = UNIMPLEMENTED[what]
    client = aws.client(service, MINE)
    operation = client.meta.method_to_api_mapping[method]
    before = len(calls_of(aws, MINE))
    arguments: dict[str, Any] = TIERING if parameters is None else parameters  # type: ignore[assignment]
    code, status, message = error_of(lambda: getattr(client, method)(**arguments))
    assert (code, status) == ("NotImplementedByEmbeddedAws", 400)
    assert f"{service}:{operation}" in message
    calls = calls_of(aws, MINE)[before:]
    assert [(c.service, c.operation, c.status) for c in calls] == [(service, operation, 400)]


def test_what_breaks_inside_is_an_aws_error_that_names_it(aws: EmbeddedAws) -> None:
    # moto reads parameters before it asks whether they are there.
    status, body = posted(aws, "kms", "TrentService.Sign", b"{}")
    assert status == 500
    assert json.loads(body)["__type"] == "InternalFailure"
    assert "kms:Sign: AttributeError" in json.loads(body)["Message"]


def posted(aws: EmbeddedAws, service: str, target: str, body: bytes, path: str = "/") -> tuple[int, bytes]:
    """Status and body of the answer to a JSON request that no SDK would send."""
    scope = f"{MINE}/20260101/{REGION}/{service}/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": target,
    }
    host, _, port = aws.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("body", [b"{not json", b"[1]", b"\xff\xfe"])
def test_a_body_that_cannot_be_read(aws: EmbeddedAws, body: bytes) -> None:
    status, answer = posted(aws, "servicecatalog", "AWS242ServiceCatalogService.ListPortfolios", body)
    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize("service", ["servicecatalog", "sagemaker", "no-such-service"])
def test_an_operation_that_the_api_does_not_have(aws: EmbeddedAws, service: str) -> None:
    status, answer = posted(aws, service, "Prefix.NoSuchOperation", b"{}")
    assert (status, json.loads(answer)["__type"]) == (400, "NotImplementedByEmbeddedAws")
    assert f"{service}:NoSuchOperation" in answer.decode()


def test_a_missing_parameter_is_named(aws: EmbeddedAws) -> None:
    status, answer = posted(aws, "servicecatalog", "X.CreatePortfolio", b'{"DisplayName": 3}')
    assert (status, json.loads(answer)["__type"]) == (400, "ValidationException")
    assert "'providerName'" in answer.decode()


def test_a_part_that_moto_lacks_is_refused_too(aws: EmbeddedAws) -> None:
    groups = aws.client("resource-groups", "444444444444")
    code, status, message = error_of(lambda: groups.search_resources(ResourceQuery={"Type": "t", "Query": "{}"}))
    assert (code, status) == ("NotImplementedByEmbeddedAws", 400)
    assert "resource-groups:SearchResources" in message


def test_motos_control_api_is_refused(aws: EmbeddedAws) -> None:
    sqs = aws.client("sqs")
    sqs.create_queue(QueueName="kept")
    for service in ("sqs", "s3"):
        status, answer = posted(aws, service, "AmazonSQS.ListQueues", b"{}", path="/moto-api/reset")
        assert (status, b"NotImplementedByEmbeddedAws" in answer) == (400, True)
    assert len(sqs.list_queues()["QueueUrls"]) == 1


EXPIRED = {
    "s3": ("list_buckets", "ExpiredToken"),
    "sts": ("get_caller_identity", "ExpiredToken"),
    "servicecatalog": ("list_portfolios", "ExpiredTokenException"),
    "sagemaker": ("list_models", "ExpiredTokenException"),
    "cloudformation": ("list_stacks", "ExpiredToken"),
}


@pytest.mark.parametrize("service", EXPIRED)
def test_expired_credentials(aws: EmbeddedAws, service: str) -> None:
    method, expected = EXPIRED[service]
    code, status, message = error_of(getattr(aws.client(service, EXPIRED_KEY), method))
    assert (code, status // 100) == (expected, 4)
    assert "expired" in message


UNKNOWN = {
    "s3": ("list_buckets", "InvalidAccessKeyId"),
    "sts": ("get_caller_identity", "InvalidClientTokenId"),
    "servicecatalog": ("list_portfolios", "UnrecognizedClientException"),
}


@pytest.mark.parametrize("service", UNKNOWN)
@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "1234", "1111111111111"])
def test_unknown_credentials(aws: EmbeddedAws, service: str, key: str) -> None:
    method, expected = UNKNOWN[service]
    code, status, _ = error_of(getattr(aws.client(service, key), method))
    assert (code, status // 100) == (expected, 4)


def test_an_unsigned_request_is_refused(aws: EmbeddedAws) -> None:
    host, _, port = aws.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, b"AccessDenied" in answer.read()) == (403, True)
    connection.close()


def test_the_key_id_selects_the_account(aws: EmbeddedAws) -> None:
    for account in (MINE, OTHER):
        identity = aws.client("sts", account).get_caller_identity()
        assert identity["Account"] == account
        assert identity["Arn"] == f"arn:aws:iam::{account}:root"
    aws.client("ssm", MINE).put_parameter(Name="/only-mine", Value="1", Type="String")
    assert error_of(lambda: aws.client("ssm", OTHER).get_parameter(Name="/only-mine"))[0] == "ParameterNotFound"


def test_an_assumed_role_acts_in_its_own_account(aws: EmbeddedAws) -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": MINE}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = aws.client("iam", OTHER).create_role(RoleName="deploy", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    key = aws.client("sts", MINE).assume_role(RoleArn=role, RoleSessionName="build")["Credentials"]["AccessKeyId"]
    identity = aws.client("sts", key).get_caller_identity()
    assert identity["Account"] == OTHER
    assert identity["Arn"] == f"arn:aws:sts::{OTHER}:assumed-role/deploy/build"
    aws.client("ssm", key).put_parameter(Name="/by-role", Value="1", Type="String")
    assert aws.client("ssm", OTHER).get_parameter(Name="/by-role")["Parameter"]["Value"] == "1"
    assert [call.operation for call in calls_of(aws, OTHER)[-2:]] == ["PutParameter", "GetParameter"]


def test_a_role_that_does_not_exist_cannot_be_assumed(aws: EmbeddedAws) -> None:
    role = f"arn:aws:iam::{OTHER}:role/nobody"
    code, status, message = error_of(lambda: aws.client("sts", MINE).assume_role(RoleArn=role, RoleSessionName="build"))
    assert (code, status) == ("AccessDenied", 403)
    assert role in message
