"""The whole check as the command line runs it: evaluates the template once, then looks at one area after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import bundle as bundles
from ..answers import Seed
from ..console import Console
from ..errors import BadInput, SeedError
from ..publish import release as releases
from ..publish.clients import readable_errors
from ..resources import product_template
from ..templates.schemas import data_folder
from . import catalog, identity, images, launch, stages, storage, targets, template
from .findings import Report
from .subject import Subject

Client = Callable[[str], Any]
AREAS: tuple[tuple[str, Callable[[Subject], None]], ...] = (
    ("identity and region", identity.check),
    ("seed bucket", storage.check),
    ("product", catalog.check),
    ("template", template.check),
    ("launch role", launch.check),
    ("service roles", stages.check),
    ("target accounts", targets.check),
    ("images", images.check),
)


def check(
    home: Client,
    region: str,
    console: Console,
    *,
    seed: Seed | None = None,
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
        home: by the service's name, a client of the data science account.
        seed: the seed repository; without it the product template alone is held against the account.
        stage_clients: of the stages' accounts that may be looked into, by ``staging`` and ``prod``.
        stage_ids: their account ids; a stage without one is where its clients are, or in the data science account.
        parameters: launch parameters on top of what is known.
        text: the product template's text, if not our own.

    Returns:
        What ``--json`` prints: the findings, what was not looked at, and where it was looked.

    Raises:
        SeedError: nothing can be looked at: the credentials are refused, or AWS cannot be reached.
    """
    _need_schemas()
    subject = _subject(home, region, seed, bucket, stage_clients or {}, stage_ids or {}, parameters or {}, text)
    subject.portfolio_id, subject.launch_role_arn = portfolio_id, launch_role_arn
    template.evaluate(subject)
    with readable_errors(), console.progress() as show:
        for name, area in AREAS:
            show(f"looking at the {name}")
            with subject.report.looking_at(name):
                area(subject)
    return {
        "account": subject.home.id,
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
    home: Client,
    region: str,
    seed: Seed | None,
    bucket: str,
    clients: Mapping[str, Client],
    ids: Mapping[str, str | None],
    parameters: Mapping[str, str],
    text: str | None,
) -> Subject:
    with readable_errors():
        own = identity.account("data science", home, region)
        found = {stage: identity.account(stage, client, region) for stage, client in clients.items()}
    stage_ids = {
        stage: identity.stage_account(stage, ids.get(stage), found.get(stage), own) for stage in ("staging", "prod")
    }
    report, packed = Report(), None
    if seed is not None:
        try:
            packed = bundles.pack(seed.folder)
        except BadInput as error:
            for problem in error.problems:
                report.add("the seed code cannot be packed", str(seed.folder), problem, "publish", "see the reason")
    source, name = text or product_template().read_text(encoding="utf-8"), product_template().name
    key = ""
    if seed is not None and packed is not None:
        try:
            release = releases.make(seed, packed, source, bucket or "sagemaker-seed-unknown", name)
            source, key = release.template.content.decode(), release.code.key
        except BadInput as error:
            report.add("the template cannot be bound", name, str(error), "publish", f"mend {name}")
    elif seed is None:
        for placeholder in releases.PLACEHOLDERS:
            source = source.replace(placeholder, bucket if "bucket" in placeholder and bucket else "x")
    given = {
        "AccountStagingId": stage_ids["staging"],
        "AccountProdId": stage_ids["prod"],
        **parameters,
    }
    return Subject(own, found, stage_ids, bucket, seed, packed, source, name, given, report, code_key=key)


def show(result: Mapping[str, Any], console: Console) -> None:
    """The findings as a table for a terminal, and what was not looked at."""
    for note in result["notes"]:
        console.say(f"  {console.style('note', 'dim')} {note}")
    findings = result["findings"]
    for number, finding in enumerate(findings, 1):
        when = console.style(f"{number:>2} {finding['when']:<8}", "bad")
        console.say(f"  {when} {finding['what']}")
        for label, part in (("where", "where"), ("why", "why"), ("fix", "fix")):
            console.say(f"     {console.style(f'{label:<8}', 'dim')} {finding[part]}")
    if not findings:
        console.say(f"  {console.style('nothing found', 'ok')} in {result['account']} {result['region']}")
