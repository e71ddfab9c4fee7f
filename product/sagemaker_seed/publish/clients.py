"""The boto3 clients that publishing needs, and what every error of theirs says to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, SeedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_servicecatalog import ServiceCatalogClient
    from mypy_boto3_sts import STSClient


@dataclass(frozen=True)
class Clients:
    """Clients of one account and region."""

    s3: S3Client
    servicecatalog: ServiceCatalogClient
    sts: STSClient

    @property
    def region(self) -> str:
        """The region that the product is registered in."""
        return self.servicecatalog.meta.region_name


def connect(region: str, profile: str | None = None) -> Clients:
    """Clients with the current credentials, or those of a named profile.

    Raises:
        BadInput: there is no such profile.
    """
    # The clients are those of boto3; its resources, which publishing does not use, would double the import.
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    session = botocore.session.Session(profile=profile)
    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})

    def client(service: str) -> Any:
        return session.create_client(service, region_name=region, config=config)

    try:
        return Clients(client("s3"), client("servicecatalog"), client("sts"))
    except ProfileNotFound as error:
        raise BadInput(f"--profile: {error}; `aws configure list-profiles` shows those there are") from None


_ASK = "the identity lacks a permission; the policy for publishers in catalog.yaml lists what publishing needs"
_SIGN_IN = "sign in again (for example `aws sso login`) or set AWS_PROFILE, then run the same command"

# Error codes of AWS that have one likely cause and one thing to do.
_BY_CODE = {
    "ExpiredToken": f"the credentials have expired; {_SIGN_IN}",
    "ExpiredTokenException": f"the credentials have expired; {_SIGN_IN}",
    "RequestExpired": f"the credentials have expired, or this machine's clock is wrong; {_SIGN_IN}",
    "InvalidClientTokenId": f"AWS does not know these credentials; {_SIGN_IN}",
    "UnrecognizedClientException": f"AWS does not know these credentials; {_SIGN_IN}",
    "InvalidAccessKeyId": f"AWS does not know these credentials; {_SIGN_IN}",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key; {_SIGN_IN}",
    "LimitExceededException": "a limit of Service Catalog is reached; remove what is no longer used or ask for more",
    "ThrottlingException": "AWS throttles this account; wait a minute and run the same command",
    "SlowDown": "AWS throttles this account; wait a minute and run the same command",
}


_DENIED = {"AccessDenied", "AccessDeniedException"}


@contextmanager
def readable_errors(
    *, denied: str = _ASK, otherwise: str = "nothing was half registered; run the same command again"
) -> Iterator[None]:
    """Turns every failure of a boto3 call into a ``SeedError`` of one line.

    Args:
        denied: what to do when a permission is missing.
        otherwise: what to do when there is no better advice.
    """
    from botocore import exceptions as aws

    try:
        yield
    except aws.NoCredentialsError:
        raise SeedError(f"no AWS credentials were found; {_SIGN_IN}") from None
    except (aws.PartialCredentialsError, aws.TokenRetrievalError, aws.SSOError) as error:
        raise SeedError(f"the AWS credentials cannot be used: {error}; {_SIGN_IN}") from None
    except (aws.ConnectionError, aws.HTTPClientError) as error:
        where = error.kwargs.get("endpoint_url", "AWS")
        raise SeedError(f"{where} cannot be reached: check the network, the proxy and the region") from None
    except aws.ClientError as error:
        code, message = error.response["Error"].get("Code", "?"), error.response["Error"].get("Message", "")
        advice = denied if code in _DENIED else _BY_CODE.get(code, otherwise)
        raise SeedError(f"{error.operation_name} was refused ({code}: {message}): {advice}") from None
    except aws.BotoCoreError as error:
        raise SeedError(f"the call to AWS failed: {error}") from None
