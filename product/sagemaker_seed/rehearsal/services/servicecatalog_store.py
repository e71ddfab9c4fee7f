"""What Service Catalog holds of one account in one region, and the limits on it. Reads no request, writes no answer."""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from ..wire import AwsError

ID_ALPHABET = string.ascii_lowercase + string.digits
ID_LENGTH = 13

# Default quotas, https://docs.aws.amazon.com/servicecatalog/latest/adminguide/limits.html
LIMITS = {
    "versions of a product": 100,
    "products in a portfolio": 150,
    "portfolios in a region": 100,
    "products in a region": 350,
    "tags of a product": 20,
    "tags of a portfolio": 20,
    "constraints of a product in a portfolio": 100,
    "principals of a portfolio": 100,
    "principal patterns of a portfolio": 10,
    "tags of a provisioned product": 50,
}

Named = TypeVar("Named")


def new_id(prefix: str) -> str:
    """An identifier of AWS's form, such as ``prod-`` and 13 lower-case letters and digits."""
    return f"{prefix}-{''.join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))}"


def now() -> datetime:
    """The time of creation; AWS gives whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Version:
    """A provisioning artifact; ``url`` is where its template was when it was made, ``template`` its text then."""

    id: str
    name: str
    description: str | None
    type: str
    url: str
    template: str
    created: datetime
    active: bool = True
    guidance: str = "DEFAULT"


@dataclass
class Product:
    """A product, with its versions in the order in which they were made."""

    id: str
    view_id: str
    arn: str
    name: str
    owner: str
    type: str
    created: datetime
    details: dict[str, str]
    tags: dict[str, str]
    versions: dict[str, Version] = field(default_factory=dict)


@dataclass
class Portfolio:
    """A portfolio; ``products`` maps the id of each product in it to the id of the launch path that this gives."""

    id: str
    arn: str
    name: str
    provider: str
    description: str | None
    created: datetime
    tags: dict[str, str]
    products: dict[str, str] = field(default_factory=dict)
    principals: dict[tuple[str, str], None] = field(default_factory=dict)


@dataclass
class Constraint:
    """A rule on launching one product from one portfolio; ``parameters`` is the JSON text as it was given."""

    id: str
    type: str
    product: str
    portfolio: str
    owner: str
    parameters: str
    description: str | None


class Store:
    """One account's Service Catalog in one region. Hold ``lock`` around every use."""

    def __init__(self, account: str, region: str, partition: str) -> None:
        self.account, self.region, self.partition = account, region, partition
        self.lock = threading.RLock()
        self.portfolios: dict[str, Portfolio] = {}
        self.imported: dict[str, Portfolio] = {}  # shares of other accounts that were accepted
        self.products: dict[str, Product] = {}
        self.constraints: dict[str, Constraint] = {}
        self.answered: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    def arn(self, kind: str, identifier: str) -> str:
        """The ARN of a ``product`` or ``portfolio``."""
        return f"arn:{self.partition}:catalog:{self.region}:{self.account}:{kind}/{identifier}"

    def portfolio(self, identifier: str) -> Portfolio:
        """The portfolio of this id, or ``ResourceNotFoundException``."""
        return _found(self.portfolios, identifier, "Portfolio")

    def portfolio_or_share(self, identifier: str) -> Portfolio:
        """The account's own portfolio of this id, or one that it has accepted; or ``ResourceNotFoundException``."""
        return _found(self.portfolios | self.imported, identifier, "Portfolio")

    def product(self, identifier: str) -> Product:
        """The product of this id, or ``ResourceNotFoundException``."""
        return _found(self.products, identifier, "Product")

    def constraint(self, identifier: str) -> Constraint:
        """The constraint of this id, or ``ResourceNotFoundException``."""
        return _found(self.constraints, identifier, "Constraint")

    def product_by(self, identifier: str | None, name: str | None) -> Product:
        """The product of this id or of this name, exactly one of which is given."""
        if (identifier is None) == (name is None):
            raise invalid("Name the product by its id or by its name, one of the two.")
        if identifier is not None:
            return self.product(identifier)
        named = [product for product in self.products.values() if product.name == name]
        if len(named) > 1:
            raise invalid(f"{len(named)} products are named {name!r}: {', '.join(p.id for p in named)}. Give an id.")
        return _found({p.name: p for p in named}, str(name), "Product")

    def version_by(self, product: Product, identifier: str | None, name: str | None) -> Version:
        """The version with this id or this name, exactly one of which is given; of several of a name the newest."""
        if (identifier is None) == (name is None):
            raise invalid("Name the provisioning artifact by its id or by its name, one of the two.")
        if identifier is not None:
            return _found(product.versions, identifier, "ProvisioningArtifact")
        return _found({v.name: v for v in product.versions.values()}, str(name), "ProvisioningArtifact")

    def portfolios_of(self, product: str) -> list[Portfolio]:
        """The portfolios that a product is in."""
        return [portfolio for portfolio in self.portfolios.values() if product in portfolio.products]

    def constraints_on(self, portfolio: str, product: str | None = None) -> list[Constraint]:
        """The constraints in a portfolio, of all its products or of one."""
        every = self.constraints.values()
        return [c for c in every if c.portfolio == portfolio and product in (None, c.product)]


def _found(known: Mapping[str, Named], identifier: str, kind: str) -> Named:
    try:
        return known[identifier]
    except KeyError:
        raise AwsError("ResourceNotFoundException", f"{kind} {identifier} not found.") from None


def invalid(message: str) -> AwsError:
    """The error for parameters that make no sense together or do not fit what is there."""
    return AwsError("InvalidParametersException", message)


def in_use(message: str) -> AwsError:
    """The error for taking away what something else needs."""
    return AwsError("ResourceInUseException", message)


def within(limit: str, count: int) -> None:
    """Refuses ``count`` of what ``limit`` names if it is more than AWS's default quota."""
    if count > LIMITS[limit]:
        raise AwsError("LimitExceededException", f"The limit of {LIMITS[limit]} {limit} would be exceeded.")


def merged_tags(
    tags: Mapping[str, str], add: Iterable[Mapping[str, str]], remove: Sequence[str], limit: str
) -> dict[str, str]:
    """``tags`` less ``remove`` plus ``add``.

    Raises:
        AwsError: a key twice in one request, a key that AWS keeps for itself, or too many.
    """
    added: dict[str, str] = {}
    for tag in add:
        if tag["Key"] in added:
            raise invalid(f"Tag key {tag['Key']!r} is given twice.")
        if tag["Key"].lower().startswith("aws:"):
            raise invalid(f"Tag key {tag['Key']!r} starts with 'aws:', which is reserved.")
        added[tag["Key"]] = tag["Value"]
    result = {key: value for key, value in tags.items() if key not in remove} | added
    within(limit, len(result))
    return result
