"""The whole check as the command line runs it: evaluates the template once, then looks at one area after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..answers import Seed
from ..bundle import Bundle
from ..console import Console
from ..errors import BadInput, SeedError
from ..publish import catalog as catalogs
from ..publish import release as releases
from ..publish.clients import readable_errors
from ..resources import product_template
from ..templates.schemas import data_folder
from . import (
    catalog,
    code,
    endpoints,
    identity,
    images,
    launch,
    registry,
    serving,
    stacksets,
    stages,
    storage,
    targets,
    template,
)
from .findings import Report
from .subject import ANYBODY, LAYOUTS, Subject

Client = Callable[[str], Any]


class Area(NamedTuple):
    """One thing to look at; ``local`` where that takes no account."""

    name: str
    look: Callable[[Subject], None]
    local: bool = False


AREAS = (
    Area("identity and region", identity.check, local=True),
    Area("seed bucket", storage.check),
    Area("product", catalog.check),
    Area("template", template.check, local=True),
    Area("endpoint template", endpoints.check, local=True),
    Area("launch role", launch.check),
    Area("service roles", stages.check),
    Area("target accounts", targets.check),
    Area("monitors, schedules and their buckets", serving.check),
    Area("stack sets", stacksets.check),
    Area("model registry", registry.check),
    Area("images", images.check, local=True),
)


def check(
    home: Client | None,
    region: str,
    console: Console,
    *,
    seed: Seed | None = None,
    packed: Bundle | None = None,
    bucket: str = "",
    portfolio_id: str | None = None,
    launch_role_arn: str | None = None,
    stage_clients: Mapping[str, Client] | None = None,
    stage_ids: Mapping[str, str | None] | None = None,
    parameters: Mapping[str, str] | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    """Looks for what will fail. Reads only.

    Args:
        home: by the service's name, a client of the data science account; None to look at the seed and the template
            alone.
        seed: the seed repository; without it the product template alone is held against the account.
        packed: the bundle of the seed, if that is what there is; else the folder's own.
        stage_clients: of the stages' accounts that may be looked into, by ``dev``, ``staging`` (which is
            pre-production where there are three stages) and ``prod``.
        stage_ids: their account ids; a stage without one is where its clients are, or in the data science account.
        parameters: launch parameters on top of what is known.
        text: the product template's text, if not our own.

    Returns:
        What ``--json`` prints: the findings, what was not looked at, and where it was looked.

    Raises:
        SeedError: nothing can be looked at: the credentials are refused, or AWS cannot be reached.
    """
    _need_schemas()
    subject = _subject(home, region, seed, packed, bucket, stage_clients or {}, stage_ids or {}, parameters or {}, text)
    subject.portfolio_id, subject.launch_role_arn = portfolio_id, launch_role_arn
    if home is None:
        subject.report.note("no account was looked into: the seed code and the template alone")
    template.evaluate(subject)
    subject.launch_role_arn = subject.launch_role_arn or subject.bucket_tags.get(catalogs.LAUNCH_ROLE_TAG)
    with subject.pool, readable_errors(), console.progress() as show:
        if home is not None:
            subject.read_ahead()
        for area in AREAS:
            if home is None and not area.local:
                continue
            show(f"looking at the {area.name}")
            with subject.report.looking_at(area.name):
                area.look(subject)
    return {
        "account": None if home is None else subject.home.id,
        "region": subject.home.region,
        "stages": dict(subject.stage_ids),
        "findings": [finding.as_dict() for finding in subject.report.sorted()],
        "notes": subject.report.notes,
    }


def _need_schemas() -> None:
    try:
        data_folder()
    except RuntimeError as error:
        raise SeedError(f"check: {error}") from None


def _subject(  # noqa: PLR0917 - as check has them
    home: Client | None,
    region: str,
    seed: Seed | None,
    bundle: Bundle | None,
    bucket: str,
    clients: Mapping[str, Client],
    ids: Mapping[str, str | None],
    parameters: Mapping[str, str],
    text: str | None,
) -> Subject:
    report = Report()
    layout = LAYOUTS[seed.answers.get("stages", "two") if seed else "two"]
    slots = {stage: word.lower() for stage, word in layout.items()}  # as the options name them
    with readable_errors():
        own = identity.account("data science", home, region) if home is not None else identity.nowhere(region)
        found = {
            stage: identity.account(stage, clients[slot], region) for stage, slot in slots.items() if slot in clients
        }
        tags = storage.tags_of(own.client("s3"), bucket, report) if home is not None and bucket else {}
    target = seed.answers.get("deploy_target", "") if seed is not None else ""
    default = ANYBODY if home is None and target in stacksets.TARGETS else own.id
    stage_ids = {
        stage: identity.stage_account(slot, ids.get(slot), found.get(stage), default) for stage, slot in slots.items()
    }
    packed = code.packed(seed, bundle, report) if seed is not None else None
    source, name = text or product_template().read_text(encoding="utf-8"), product_template().name
    accounts, key = catalogs.accounts_of(tags), ""
    if seed is not None and packed is not None:
        try:
            release = releases.make(seed, packed, source, bucket or "sagemaker-seed-unknown", name, accounts=accounts)
            source, key = release.template.content.decode(), release.code.key
        except BadInput as error:
            report.add("the template cannot be bound", name, str(error), "publish", f"mend {name}")
    else:  # nothing to bind it to, which is another finding if there is a seed
        source = releases.with_roles(source, accounts.roles)
        for placeholder in releases.PLACEHOLDERS:
            source = source.replace(placeholder, bucket if "bucket" in placeholder and bucket else "x")
    given = {**{f"Account{word}Id": stage_ids[stage] for stage, word in layout.items()}, **parameters}
    if target == stacksets.SERVICE_MANAGED:
        given |= stacksets.units(own, layout, stage_ids, parameters, report)
    return Subject(
        own, found, stage_ids, bucket, seed, packed, source, name, given, report, code_key=key, bucket_tags=tags
    )
