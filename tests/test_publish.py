"""Publishing against the embedded AWS: what is written, that nothing is written twice, and what stops it."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed import bundle as bundles
from sagemaker_seed.answers import Seed, read_seed
from sagemaker_seed.console import Console
from sagemaker_seed.errors import BadInput, SeedError
from sagemaker_seed.publish import apply as applying
from sagemaker_seed.publish import catalog as catalogs
from sagemaker_seed.publish import plan as planning
from sagemaker_seed.publish import release as releases
from sagemaker_seed.publish.clients import Clients
from sagemaker_seed.publish.flow import publish
from sagemaker_seed.rehearsal import catalog
from sagemaker_seed.rehearsal.proof import prove
from sagemaker_seed.resources import product_template
from support import REGION, Account
from test_answers import GOOD

CALLS_OF_A_FIRST_PUBLISH = 15
CALLS_OF_AN_UNCHANGED_PUBLISH = 14


@pytest.fixture
def seed(tmp_path: Path) -> Seed:
    """A seed repository of two files."""
    return make_seed(tmp_path / "seed", "print('first')\n")


def make_seed(folder: Path, code: str, **answers: str) -> Seed:
    """A seed repository with the given code and answers."""
    folder.mkdir(exist_ok=True)
    content = {"template_version": "0.1.0", "answers": {**GOOD, "aws_region": REGION, **answers}}
    (folder / "seed.json").write_text(json.dumps(content))
    (folder / "build.py").write_text(code)
    return read_seed(folder)


def run(account: Account, seed: Seed, clients: Clients | None = None, **options: Any) -> dict[str, Any]:
    """Publishes to the account's catalog."""
    return publish(clients or account.clients(), seed, Console(), **{"bucket": account.bucket, **options})


def calls_of(account: Account, act: Callable[[], object]) -> list[Any]:
    """The calls that an act made in its account, in order."""
    before = len(account.aws.calls())
    act()
    return [call for call in account.aws.calls()[before:] if call.account == account.id]


def state(account: Account) -> dict[str, Any]:
    """Everything that publishing can change in an account."""
    s3, servicecatalog = account.client("s3"), account.client("servicecatalog")
    views = servicecatalog.search_products_as_admin()["ProductViewDetails"]
    products = [view["ProductViewSummary"]["ProductId"] for view in views]
    return {
        "objects": sorted(o["Key"] for o in s3.list_objects_v2(Bucket=account.bucket).get("Contents", [])),
        "products": sorted(view["ProductViewSummary"]["Name"] for view in views),
        "versions": sorted(
            version["Name"]
            for product in products
            for version in servicecatalog.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]
        ),
        "portfolios": [
            len(servicecatalog.list_portfolios_for_product(ProductId=product)["PortfolioDetails"])
            for product in products
        ],
    }


def test_a_first_publication_can_be_launched(account: Account, seed: Seed) -> None:
    published = run(account, seed)
    assert [step["write"] for step in published["steps"]] == [
        "upload the seed code",
        "upload the product template",
        "create the product with this version",
        "add the product to the portfolio",
        "let the product launch with the launch role",
    ]
    assert len(prove(account.clients(), published)) == 4
    digest = bundles.pack(seed.folder).digest
    found = state(account)
    assert found["objects"][1] == f"seed-code/iris-classifier/{digest}.zip"
    assert found["products"] == ["Iris classifier"]
    assert found["versions"] == [published["version"]]
    assert found["portfolios"] == [1]


def test_what_is_uploaded_is_write_once_tagged_and_checked_in_one_call(account: Account, seed: Seed) -> None:
    clients = account.clients()
    sent: list[dict[str, Any]] = []
    clients.s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: sent.append(params["headers"]))
    run(account, seed, clients)
    assert len(sent) == 2
    for headers in sent:
        assert headers["x-amz-tagging"] == "servicecatalog%3Aprovisioning=true"
        assert headers["If-None-Match"] == "*"
        assert headers["x-amz-checksum-sha256"]
        assert headers["x-amz-expected-bucket-owner"] == account.id


def test_the_same_content_again_writes_nothing(account: Account, seed: Seed) -> None:
    first = run(account, seed)
    before = state(account)
    calls = calls_of(account, lambda: run(account, seed))
    assert [call.operation for call in calls if call.writes] == []
    assert len(calls) == CALLS_OF_AN_UNCHANGED_PUBLISH
    assert state(account) == before
    assert run(account, seed)["version_id"] == first["version_id"]


def test_a_plan_writes_nothing(account: Account, seed: Seed) -> None:
    before = state(account)
    calls = calls_of(account, lambda: run(account, seed, plan_only=True))
    assert [call.operation for call in calls if call.writes] == []
    assert len(run(account, seed, plan_only=True)["steps"]) == 5
    assert state(account) == before


@pytest.mark.slow
def test_changed_code_is_a_new_version_and_the_old_one_launches_what_it_did(account: Account, seed: Seed) -> None:
    first = run(account, seed)
    second = run(account, make_seed(seed.folder, "print('second')\n"))
    assert second["product_id"] == first["product_id"]
    assert [step["write"] for step in second["steps"]] == [
        "upload the seed code",
        "upload the product template",
        "register the version",
    ]
    assert state(account)["versions"] == sorted([first["version"], second["version"]])
    prove(account.clients(), first)
    prove(account.clients(), second)


def test_a_changed_product_template_is_a_new_version_of_the_same_code(
    account: Account, seed: Seed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = run(account, seed)
    changed = tmp_path / "project.yaml"
    changed.write_text(product_template().read_text() + "# another release\n")
    monkeypatch.setattr("sagemaker_seed.publish.flow.product_template", lambda: changed)
    second = run(account, seed)
    assert second["version"] != first["version"]
    assert [step["write"] for step in second["steps"]] == ["upload the product template", "register the version"]


def test_the_version_has_the_same_name_wherever_the_bucket_is(account: Account, seed: Seed) -> None:
    text, packed = product_template().read_text(), bundles.pack(seed.folder)
    one, two = (releases.make(seed, packed, text, bucket) for bucket in ("bucket-one", "bucket-two"))
    assert one.version == two.version
    assert one.template.key != two.template.key
    assert one.version.startswith("0.1.0-")
    assert len(one.version) == len("0.1.0-") + 12


def test_answers_are_bound_as_data(seed: Seed) -> None:
    hostile = make_seed(seed.folder, "", team="Team- .x y_", project_slug="null")
    release = releases.make(hostile, bundles.pack(hostile.folder), product_template().read_text(), "a-bucket")
    bound = releases.read_template(release.template.content.decode(), "t")["Mappings"]["Seed"]
    assert bound["Code"] == {"Bucket": "a-bucket", "Key": release.code.key}
    assert bound["Release"] == {"Project": "null", "Team": "Team- .x y_", "Version": release.version}


@pytest.mark.parametrize(("target", "stages"), [("cloudformation", "two"), ("stackset-service-managed", "three")])
def test_a_version_can_be_launched_in_the_organisations_way_alone(tmp_path: Path, target: str, stages: str) -> None:
    seed = make_seed(tmp_path / "seed", "", deploy_target=target, stages=stages)
    text = product_template().read_text()
    release = releases.make(seed, bundles.pack(seed.folder), text, "a-bucket")
    parameters = releases.read_template(release.template.content.decode(), "t")["Parameters"]
    for name, value in (("DeployTarget", target), ("StageLayout", stages)):
        assert (parameters[name]["Default"], parameters[name]["AllowedValues"]) == (value, [value])
        assert len(releases.read_template(text, "t")["Parameters"][name]["AllowedValues"]) > 1


def test_a_template_without_a_place_for_the_choice_is_refused(seed: Seed) -> None:
    text = product_template().read_text().replace(" # bound: stages", "")
    with pytest.raises(BadInput, match=r"project\.yaml: must have `Default: \.\.\. # bound: stages` exactly once"):
        releases.make(seed, bundles.pack(seed.folder), text, "a-bucket")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Resources: {}\n", "must hold the placeholder unbound-seed-bucket exactly once, has it 0 times"),
        ("[unbound-seed-bucket", "exactly once"),
    ],
)
def test_a_template_without_its_placeholders_is_refused(seed: Seed, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        releases.make(seed, bundles.pack(seed.folder), text, "a-bucket")


@pytest.mark.parametrize(("text", "said"), [("a: [", "is no YAML"), ("a: 1", "is no CloudFormation template")])
def test_a_template_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        releases.read_template(text, "project.yaml")


# What a fault does to the n-th call: nothing reached AWS, or AWS did it and the answer was lost.
class Crash(BaseException):
    """The process is killed."""


def _break(clients: Clients, event: str, at: int, fault: Callable[[str], BaseException]) -> list[str]:
    """Makes the n-th call of the clients fail; returns the list that the names of all calls go to."""
    seen: list[str] = []

    def count(event_name: str, **_: object) -> None:
        seen.append(event_name)
        if len(seen) == at + 1:
            raise fault(event_name.rsplit(".", 1)[1])

    for client in (clients.s3, clients.servicecatalog, clients.sts):
        client.meta.events.register(event, count)
    return seen


def _refusal(operation: str) -> BaseException:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": "InternalError", "Message": "We encountered an internal error"}}, operation)


FAULTS: dict[str, tuple[str, Callable[[str], BaseException], type[BaseException]]] = {
    "killed before the call": ("before-call.*.*", lambda _: Crash(), Crash),
    "killed after the call": ("after-call.*.*", lambda _: Crash(), Crash),
    "refused by AWS": ("before-call.*.*", _refusal, SeedError),
}


def _every_version_points_at_something(account: Account) -> None:
    """No version points at a template or at seed code that is not there, readable by a launch role."""
    servicecatalog = account.client("servicecatalog")
    for view in servicecatalog.search_products_as_admin()["ProductViewDetails"]:
        product = view["ProductViewSummary"]["ProductId"]
        for version in servicecatalog.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"]:
            info = servicecatalog.describe_provisioning_artifact(
                ProductId=product, ProvisioningArtifactId=version["Id"], Verbose=True
            )["Info"]
            key = info["TemplateUrl"].split("/", 3)[3]
            text = account.client("s3").get_object(Bucket=account.bucket, Key=key)["Body"].read().decode()
            code = releases.read_template(text, key)["Mappings"]["Seed"]["Code"]["Key"]
            for name in (key, code):
                tags = account.client("s3").get_object_tagging(Bucket=account.bucket, Key=name)["TagSet"]
                assert releases.OBJECT_TAG in tags


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_at_every_call_leaves_nothing_half_registered_and_the_next_run_finishes(
    aws: Any, seed: Seed, kind: str, request: pytest.FixtureRequest
) -> None:
    event, fault, raised = FAULTS[kind]
    at, calls = 0, 1
    while at < calls:
        number = f"9{list(FAULTS).index(kind)}{at:010d}"
        catalog.set_up(aws, f"sagemaker-seed-{number}", number)
        account = Account(aws, number, f"sagemaker-seed-{number}")
        clients = account.clients()
        seen = _break(clients, event, at, fault)
        with pytest.raises(raised) as failed:
            run(account, seed, clients)
        assert len(str(failed.value).splitlines()) <= 1
        _every_version_points_at_something(account)
        assert len(state(account)["versions"]) <= 1

        published = run(account, seed)
        prove(account.clients(), published)
        found = state(account)
        assert (found["versions"], found["portfolios"], len(found["objects"])) == ([published["version"]], [1], 2)
        again = calls_of(account, lambda account=account: run(account, seed))  # type: ignore[misc]
        assert not any(call.writes for call in again)
        # The first call that is not reached ends the walk.
        calls = at + 2 if len(seen) == at + 1 and not _last(seen) else at + 1
        at += 1
    assert at == CALLS_OF_A_FIRST_PUBLISH


def _last(seen: list[str]) -> bool:
    """Whether the call that failed was the last one of a publication: the wait for its version."""
    return seen[-1].endswith("DescribeProvisioningArtifact")


@pytest.mark.slow
def test_of_two_versions_of_one_release_one_stays_even_without_tokens(account: Account, seed: Seed) -> None:
    run(account, seed)
    seed = make_seed(seed.folder, "print('later')\n")
    release = releases.make(seed, bundles.pack(seed.folder), product_template().read_text(), account.bucket)
    plans = []
    for _ in range(2):
        clients = account.clients()
        # A service that forgets its tokens: every request is a new one.
        clients.servicecatalog.meta.events.register(
            "before-parameter-build.servicecatalog.CreateProvisioningArtifact",
            lambda params, **_: params.update(IdempotencyToken=str(uuid.uuid4())),
        )
        plans.append((clients, planning.plan(clients, release, catalogs.find(clients, account.bucket))))
    kept = [applying.apply(clients, plan) for clients, plan in plans][-1]
    assert state(account)["versions"].count(release.version) == 1
    assert run(account, seed)["version_id"] == kept.version_id
    prove(account.clients(), run(account, seed))


def _at_once(acts: list[Callable[[], object]]) -> list[BaseException]:
    """Runs the acts at the same moment; returns what they raised."""
    barrier = threading.Barrier(len(acts))
    raised: list[BaseException] = []

    def start(act: Callable[[], object]) -> None:
        try:
            barrier.wait()
            act()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=start, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.slow
@pytest.mark.parametrize("registered", [False, True], ids=["first", "later"])
def test_publishers_at_once_end_with_one_version(account: Account, seed: Seed, registered: bool) -> None:
    if registered:
        run(account, seed)
        seed = make_seed(seed.folder, "print('later')\n")
    sets = [account.clients() for _ in range(6)]
    assert _at_once([lambda c=c: run(account, seed, c) for c in sets]) == []  # type: ignore[misc]
    found = state(account)
    assert found["products"] == ["Iris classifier"]
    assert len(found["versions"]) == (2 if registered else 1)
    prove(account.clients(), run(account, seed))


@pytest.mark.slow
def test_publishers_of_different_code_at_once_end_with_one_product_and_both_versions(
    account: Account, tmp_path: Path
) -> None:
    seeds = [make_seed(tmp_path / str(n), f"print({n})\n") for n in range(3)]
    sets = [account.clients() for _ in seeds]
    acts = [lambda c=c, s=s: run(account, s, c) for c, s in zip(sets, seeds, strict=True)]
    assert _at_once(list(acts)) == []
    found = state(account)
    assert (found["products"], len(found["versions"]), found["portfolios"]) == (["Iris classifier"], 3, [1])


@pytest.mark.slow
def test_an_answer_that_service_catalog_remembers_of_a_deleted_version_is_not_taken(
    account: Account, seed: Seed
) -> None:
    first = run(account, seed)
    second = run(account, make_seed(seed.folder, "print('second')\n"))
    account.client("servicecatalog").delete_provisioning_artifact(
        ProductId=first["product_id"], ProvisioningArtifactId=second["version_id"]
    )
    again = run(account, seed)
    assert again["version_id"] != second["version_id"]
    prove(account.clients(), again)


@pytest.mark.slow
def test_a_missing_object_tag_is_put_back(account: Account, seed: Seed) -> None:
    published = run(account, seed)
    key = published["seed_code"].split("/", 3)[3]
    account.client("s3").delete_object_tagging(Bucket=account.bucket, Key=key)
    with pytest.raises(SeedError, match="not launchable: tag of seed-code/"):
        prove(account.clients(), published)
    assert [step["write"] for step in run(account, seed)["steps"]] == ["tag the seed code"]
    prove(account.clients(), published)


@pytest.mark.slow
def test_an_object_that_is_not_what_its_key_says_stops_everything(account: Account, seed: Seed) -> None:
    published = run(account, seed)
    key = published["seed_code"].split("/", 3)[3]
    account.client("s3").put_object(Bucket=account.bucket, Key=key, Body=b"else", ChecksumAlgorithm="SHA256")
    with pytest.raises(SeedError, match="not launchable: digest in the key seed-code/"):
        prove(account.clients(), published)
    before = state(account)
    with pytest.raises(SeedError, match="holds something else than its name says"):
        run(account, seed)
    assert state(account) == before


@pytest.mark.slow
def test_tags_and_launch_role_of_the_product_are_repaired(account: Account, seed: Seed) -> None:
    published = run(account, seed)
    servicecatalog = account.client("servicecatalog")
    servicecatalog.update_product(Id=published["product_id"], RemoveTags=["sagemaker:studio-visibility"])
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "servicecatalog.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = account.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    steps = run(account, seed, launch_role_arn=role)["steps"]
    assert [step["write"] for step in steps] == ["tag the product", "change the launch role of the product"]
    prove(account.clients(), published)
    assert run(account, seed, launch_role_arn=role)["steps"] == []


@pytest.mark.slow
def test_roles_and_the_external_id_of_the_accounts_are_bound_and_make_another_version(
    account: Account, seed: Seed
) -> None:
    plain = run(account, seed)["version"]
    s3 = account.client("s3")
    told = {"role-train": "team/train", "role-deploy": "enter", "external-id": "from-platform"}
    tags = s3.get_bucket_tagging(Bucket=account.bucket)["TagSet"]
    more = [{"Key": f"sagemaker-seed:{key}", "Value": value} for key, value in told.items()]
    s3.put_bucket_tagging(Bucket=account.bucket, Tagging={"TagSet": [*tags, *more]})
    published = run(account, seed)
    assert published["version"] != plain
    key = published["template_url"].partition("amazonaws.com/")[2]
    bound = s3.get_object(Bucket=account.bucket, Key=key)["Body"].read().decode()
    roles = releases.read_template(bound, key)["Mappings"]["Roles"]
    assert roles["Names"]["Train"] == "team/train"
    assert roles["Names"]["Training"] == "sagemaker-seed/sagemaker-seed-training", "a longer name is another role's"
    assert (roles["Names"]["Deploy"], roles["Deploy"]["ExternalId"]) == ("enter", "from-platform")
    assert "sagemaker-seed-deploy" not in bound
    assert run(account, seed)["steps"] == []


@pytest.mark.slow
def test_a_product_that_left_the_portfolio_comes_back(account: Account, seed: Seed) -> None:
    published = run(account, seed)
    servicecatalog, portfolio = account.client("servicecatalog"), published["portfolio_id"]
    constraints = servicecatalog.list_constraints_for_portfolio(PortfolioId=portfolio)["ConstraintDetails"]
    servicecatalog.delete_constraint(Id=constraints[0]["ConstraintId"])
    assert [s["write"] for s in run(account, seed)["steps"]] == ["let the product launch with the launch role"]
    constraints = servicecatalog.list_constraints_for_portfolio(PortfolioId=portfolio)["ConstraintDetails"]
    servicecatalog.delete_constraint(Id=constraints[0]["ConstraintId"])
    servicecatalog.disassociate_product_from_portfolio(ProductId=published["product_id"], PortfolioId=portfolio)
    assert len(run(account, seed)["steps"]) == 2
    prove(account.clients(), published)


def test_a_product_of_somebody_else_is_not_touched(account: Account, seed: Seed) -> None:
    run(account, seed)
    before = state(account)
    with pytest.raises(
        BadInput, match=r"project_name: the product 'Iris classifier' \(prod-\w+\) exists and belongs to"
    ):
        run(account, make_seed(seed.folder, "", project_slug="another-slug"))
    assert state(account)["versions"] == before["versions"]


def test_an_inactive_version_is_left_so_and_said(account: Account, seed: Seed) -> None:
    published = run(account, seed)
    account.client("servicecatalog").update_provisioning_artifact(
        ProductId=published["product_id"], ProvisioningArtifactId=published["version_id"], Active=False
    )
    again = run(account, seed)
    assert again["steps"] == []
    assert (
        "is registered but inactive, so nobody can launch it; to bring it back: aws servicecatalog" in again["notes"][0]
    )


def _pretend_status(clients: Clients, *statuses: str) -> None:
    """Service Catalog answers the next questions for a version's status so, and truly after that."""
    left = list(statuses)

    def pretend(parsed: dict[str, Any], **_: object) -> None:
        if left:
            parsed["Status"] = left.pop(0)

    clients.servicecatalog.meta.events.register("after-call.servicecatalog.DescribeProvisioningArtifact", pretend)


@pytest.mark.slow
def test_a_failed_version_is_said_and_replaced_by_the_next_run(account: Account, seed: Seed) -> None:
    run(account, seed)
    seed = make_seed(seed.folder, "print('second')\n")
    clients = account.clients()
    _pretend_status(clients, "CREATING", "FAILED")
    with pytest.raises(SeedError, match="failed to register: Service Catalog could not use https://"):
        run(account, seed, clients)
    clients = account.clients()
    _pretend_status(clients, "FAILED")
    again = run(account, seed, clients)
    assert [s["write"] for s in again["steps"]] == ["remove the failed version of this name", "register the version"]
    assert len(state(account)["versions"]) == 2
    prove(account.clients(), again)


@pytest.mark.slow
def test_a_version_that_never_becomes_available_is_given_up(
    account: Account, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagemaker_seed.publish.apply.AVAILABLE_WITHIN", 0.5)
    clients = account.clients()
    _pretend_status(clients, *["CREATING"] * 100)
    with pytest.raises(SeedError, match=r"is still CREATING after .* seconds; run the same command again"):
        run(account, seed, clients)


@pytest.mark.slow
def test_the_hundredth_version_is_the_last_and_one_to_retire_is_named(account: Account, seed: Seed) -> None:
    first = run(account, seed)
    time.sleep(1.1)  # Service Catalog tells the time of a version in whole seconds
    servicecatalog = account.client("servicecatalog")
    for n in range(99):
        servicecatalog.create_provisioning_artifact(
            ProductId=first["product_id"],
            Parameters={"Name": f"0.0.{n}", "Info": {"LoadTemplateFromURL": first["template_url"]}},
        )
    assert run(account, seed)["steps"] == []
    before = state(account)
    with pytest.raises(SeedError) as refused:
        run(account, make_seed(seed.folder, "print('one too many')\n"))
    assert "has 100 versions, and Service Catalog takes 100; nothing was written." in str(refused.value)
    assert f"--provisioning-artifact-id {first['version_id']}" in str(refused.value)
    assert state(account) == before


def test_a_missing_bucket(account: Account, seed: Seed) -> None:
    with pytest.raises(BadInput, match=r"seed_bucket: no-such-bucket does not exist; deploy catalog\.yaml"):
        run(account, seed, bucket="no-such-bucket")


def test_no_bucket_at_all(account: Account, seed: Seed) -> None:
    with pytest.raises(BadInput, match="seed_bucket: is not known; answer it when rendering, or give --bucket"):
        run(account, seed, bucket="")


def test_a_foreign_bucket(account: Account, aws: Any, seed: Seed) -> None:
    aws.client("s3", account="777777777777").create_bucket(
        Bucket=f"foreign-{account.id}", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    with pytest.raises(BadInput, match=f"seed_bucket: foreign-{account.id} is not readable by account {account.id}"):
        run(account, seed, bucket=f"foreign-{account.id}")


def test_a_bucket_in_another_region(account: Account, seed: Seed) -> None:
    with pytest.raises(BadInput, match=f"is in {REGION}, but the product would be registered in us-west-2"):
        run(account, seed, account.clients("us-west-2"))


def test_a_bucket_that_no_catalog_made(account: Account, seed: Seed) -> None:
    account.client("s3").delete_bucket_tagging(Bucket=account.bucket)
    with pytest.raises(BadInput) as refused:
        run(account, seed)
    portfolio, role = refused.value.problems
    assert portfolio.endswith("deploy catalog.yaml, or give --portfolio-id")
    assert role.endswith("deploy catalog.yaml, or give --launch-role-arn")


def test_a_portfolio_that_is_gone(account: Account, seed: Seed) -> None:
    with pytest.raises(BadInput, match=r"portfolio port-a{13} does not exist"):
        run(account, seed, portfolio_id="port-aaaaaaaaaaaaa")


def test_a_bundle_over_the_limit_reaches_no_call(account: Account, seed: Seed) -> None:
    (seed.folder / "large.csv").write_bytes(bytes(7 * 1024**2))

    def refused() -> None:
        with pytest.raises(BadInput, match=r"large\.csv: is 7\.0 MB"):
            run(account, seed)

    assert calls_of(account, refused) == []


def test_expired_credentials(account: Account, aws: Any, seed: Seed) -> None:
    expired = Clients(*(aws.client(service, account="EXPIRED") for service in ("s3", "servicecatalog", "sts")))
    with pytest.raises(SeedError, match="credentials have expired; sign in again"):
        run(account, seed, expired)


def test_a_seed_without_a_folder(account: Account, seed: Seed) -> None:
    shutil.rmtree(seed.folder)
    with pytest.raises(BadInput, match="is no folder"):
        run(account, seed)
