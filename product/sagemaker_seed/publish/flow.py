"""The whole act of publishing as the command line and the rehearsal run it: bundle, find, plan, show, apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import bundle as bundles
from ..answers import Seed
from ..console import Console
from ..errors import BadInput
from ..resources import product_template
from . import apply as applying
from . import catalog as catalogs
from . import plan as planning
from . import release as releases
from .clients import Clients, readable_errors


def publish(
    clients: Clients,
    seed: Seed,
    console: Console,
    *,
    bucket: str,
    portfolio_id: str | None = None,
    launch_role_arn: str | None = None,
    template: Path | None = None,
    plan_only: bool = False,
) -> dict[str, Any]:
    """Publishes a seed repository, or with ``plan_only`` says what publishing would write.

    Args:
        template: the product's template; None for the one that comes with this package.

    Returns:
        What ``--json`` prints: the version, the ids, the addresses, and the steps that were (to be) done.

    Raises:
        BadInput: an answer, the folder or the bucket cannot be right. Nothing was written.
        SeedError: AWS refused. What was written is complete in itself, and the next run goes on from it.
    """
    if not bucket:
        raise BadInput("seed_bucket: is not known; answer it when rendering, or give --bucket (catalog.yaml makes one)")
    packed = bundles.pack(seed.folder)
    template = template or product_template()
    text = template.read_text(encoding="utf-8")
    releases.make(seed, packed, text, bucket, template.name)  # what is wrong with it, before AWS is asked anything
    with readable_errors():
        catalog = catalogs.find(clients, bucket, portfolio_id, launch_role_arn)
    release = releases.make(seed, packed, text, bucket, template.name, accounts=catalog.accounts)
    plan = planning.plan(clients, release, catalog)
    _show(plan, console)
    result = _summary(plan, release)
    if plan_only:
        return {**result, "applied": False}
    with console.progress() as show:
        done = applying.apply(clients, plan, lambda step: show(step.write.value))
    verb = "published" if plan.steps else "unchanged"
    console.say(f"  {console.style(verb, 'ok')}: {done.version} ({done.product_id}, {done.version_id})")
    return {**result, "applied": True, "product_id": done.product_id, "version_id": done.version_id}


def _summary(plan: planning.Plan, release: releases.Release) -> dict[str, Any]:
    return {
        "project": release.seed.slug,
        "version": release.version,
        "account": plan.catalog.account,
        "region": plan.catalog.region,
        "portfolio_id": plan.catalog.portfolio_id,
        "product_id": plan.product_id,
        "version_id": plan.version_id,
        "seed_code": f"s3://{plan.catalog.bucket}/{release.code.key}",
        "template_url": plan.template_url,
        "steps": [{"write": step.write.value, "subject": step.subject} for step in plan.steps],
        "notes": list(plan.notes),
    }


def _show(plan: planning.Plan, console: Console) -> None:
    catalog, release = plan.catalog, plan.release
    console.say(f"  {console.style(release.seed.slug, 'bold')} {release.version}")
    console.say(f"  to {catalog.account} {catalog.region}, {catalog.portfolio_id}, s3://{catalog.bucket}")
    for step in plan.steps:
        console.say(f"  {console.style('+', 'todo')} {step.write.value}: {step.subject}")
    if not plan.steps:
        console.say("  nothing to write: everything is there")
    for note in plan.notes:
        console.say(f"  {console.style('note', 'todo')}: {note}")
