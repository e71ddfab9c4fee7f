"""The command `sagemaker-seed`: reads options and the environment, calls the other modules, prints what they say.

Everything heavy is imported by the command that needs it, so that `--help` is instant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import bundle as bundles
from .answers import Seed, read_seed
from .console import Console
from .errors import BadInput, SeedError

if TYPE_CHECKING:
    from .publish.clients import Clients

_COMMON = argparse.ArgumentParser(add_help=False)
_COMMON.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else there")

_SEED = argparse.ArgumentParser(add_help=False)
_SEED.add_argument(
    "seed", nargs="?", type=Path, default=Path(), metavar="SEED", help="the rendered seed repository (default: here)"
)

# What options say of a stage -> what a person does.
STAGES = {"dev": "development", "staging": "staging or pre-production", "prod": "production"}
_EXIT_CODES = "exit codes: 0 done (also: nothing to do), 1 the act failed, 2 wrong use or bad input"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sagemaker-seed", description=__doc__.splitlines()[0], epilog=_EXIT_CODES)
    parser.description = "Bundle, publish and rehearse SageMaker seed repositories."
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, act: Any, summary: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=summary, description=summary, epilog=_EXIT_CODES, parents=[*parents, _COMMON]
        )
        made.set_defaults(act=act)
        return made

    bundle = command("bundle", _bundle, "Pack a seed repository into a deterministic zip.", _SEED)
    bundle.add_argument(
        "-o", "--output", type=Path, help="where to write the zip (default: SEED/dist/<slug>-<digest>.zip)"
    )

    publish = command(
        "publish", _publish, "Register a seed repository as a version of its Service Catalog product.", _SEED
    )
    publish.add_argument("--to", choices=("aws", "embedded"), help="where to publish (default: the answer publish_to)")
    publish.add_argument("--plan", action="store_true", help="show what would be written, and write nothing")
    publish.add_argument("--bucket", help="seed bucket of catalog.yaml (default: the answer seed_bucket)")
    publish.add_argument("--region", help="region to register in (default: the answer aws_region)")
    publish.add_argument("--profile", help="profile of the AWS configuration to use")
    publish.add_argument(
        "--portfolio-id", help="portfolio to publish to (default: the one that the seed bucket's tag names)"
    )
    publish.add_argument(
        "--launch-role-arn", help="role that launches (default: the one that the seed bucket's tag names)"
    )

    accounts = command(
        "accounts",
        _accounts,
        "Deploy the account templates, and turn SageMaker projects on, in the accounts of a file.",
    )
    what = accounts.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="show what would be written, and write nothing")
    what.add_argument("--apply", action="store_true", help="write what is missing, and nothing else")
    accounts.add_argument("file", type=Path, metavar="FILE", help="YAML: regions, principals, and the three accounts")

    check = command("check", _check, "Find what will fail, before anybody publishes or launches. Reads only.")
    _check_options(check)

    rehearse = command(
        "rehearse", _rehearse, "Walk the whole road, from the template to a tested production endpoint, without AWS."
    )
    _rehearse_options(rehearse)
    return parser


def _check_options(check: argparse.ArgumentParser) -> None:
    what = check.add_argument_group("what to check")
    what.add_argument(
        "seed", nargs="?", type=Path, metavar="SEED", help="a rendered seed repository (default: the accounts alone)"
    )
    what.add_argument("--bundle", type=Path, metavar="ZIP", help="in place of SEED: its zip, or its folder")
    what.add_argument("--product", type=Path, metavar="FILE", help="another product template than ours")
    what.add_argument(
        "--parameter", action="append", default=[], metavar="KEY=VALUE", help="a parameter to launch with"
    )
    where = check.add_argument_group("where")
    where.add_argument(
        "--to",
        choices=("aws", "embedded", "nowhere"),
        default="aws",
        help="which AWS to look into; nowhere: only at the seed and the template (default: aws)",
    )
    where.add_argument("--region", help="region to publish to (default: the seed's answer aws_region)")
    where.add_argument("--profile", help="profile of the data science account")
    where.add_argument("--bucket", help="seed bucket of catalog.yaml (default: the seed's answer seed_bucket)")
    where.add_argument("--portfolio-id", help="portfolio (default: the one that the seed bucket's tag names)")
    where.add_argument("--launch-role-arn", help="role that launches (default: the one that the bucket's tag names)")
    for stage, name in STAGES.items():
        where.add_argument(f"--{stage}-account", metavar="ID", help=f"{name} account (default: the data science one)")
        where.add_argument(f"--{stage}-profile", metavar="NAME", help=f"profile to look into the {name} account with")


def _rehearse_options(rehearse: argparse.ArgumentParser) -> None:
    what = rehearse.add_argument_group("what to rehearse")
    what.add_argument(
        "seed", nargs="?", type=Path, metavar="SEED", help="a rendered seed repository (default: render one)"
    )
    what.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an answer to render with (default: the template's own)",
    )
    what.add_argument("--product", type=Path, metavar="FILE", help="somebody else's product template, with --seed")
    what.add_argument("--seed", dest="archive", type=Path, metavar="ZIP", help="the seed code of --product")
    what.add_argument(
        "--account-template",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="deploy this in the stages' accounts in place of target-account.yaml",
    )
    what.add_argument(
        "--templates",
        type=Path,
        metavar="FOLDER",
        help="deploy and publish the templates here in place of the product's own of the same name",
    )
    what.add_argument(
        "--parameter", action="append", default=[], metavar="KEY=VALUE", help="a parameter to launch with"
    )
    how = rehearse.add_argument_group("how far and how")
    how.add_argument("--until", metavar="STEP", help="stop after this step")
    how.add_argument(
        "--after",
        action="store_true",
        help="go on after the first deployment: again, a better model, a rejection, two commits that break something",
    )
    how.add_argument(
        "--drift",
        action="store_true",
        help="at the end switch the monitor on, let requests drift, and train again",
    )
    how.add_argument("--fail-at", metavar="STEP", help="make this step fail, to see what a failure looks like")
    how.add_argument("--strict", action="store_true", help="roles may do only what their policies allow")
    how.add_argument("--keep", action="store_true", help="leave the embedded AWS running until Ctrl-C")
    where = rehearse.add_argument_group("where to write")
    where.add_argument(
        "-o", "--output", type=Path, default=Path("build"), help="folder to render into (default: build)"
    )
    where.add_argument("--page", type=Path, help="the page about it (default: OUTPUT/rehearsal.html)")


def _bundle(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    seed = read_seed(options.seed)
    packed = bundles.pack(options.seed)
    path = bundles.write(packed, options.output or options.seed / "dist" / bundles.file_name(seed.slug, packed))
    console.say(f"{path}: {len(packed.files)} files, {packed.size:,} bytes")
    return {"path": str(path), "digest": packed.digest, "size": packed.size, "files": list(packed.files)}


def _publish(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    seed = read_seed(options.seed)
    where = options.to or seed.answers["publish_to"]
    if where == "embedded":
        from .rehearsal import publishing

        return publishing.publish(seed, options.region or seed.answers["aws_region"], console, plan_only=options.plan)
    if where != "aws":
        raise BadInput("publish: the answer publish_to is nowhere; give --to aws or --to embedded")
    from .publish.clients import connect

    clients = connect(options.region or seed.answers["aws_region"], options.profile)
    return _publish_with(clients, seed, options, console)


def _publish_with(clients: Clients, seed: Seed, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    from .publish.flow import publish

    return publish(
        clients,
        seed,
        console,
        bucket=options.bucket or seed.answers["seed_bucket"],
        portfolio_id=options.portfolio_id,
        launch_role_arn=options.launch_role_arn,
        plan_only=options.plan,
    )


def _accounts(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    from .accounts.connections import by_profile
    from .accounts.flow import prepare

    return prepare(by_profile(), options.file, console, plan_only=options.plan)


def _check(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    from .check.code import opened
    from .check.show import show

    if options.seed and options.bundle:
        raise BadInput("check: give the folder of a seed repository or --bundle, not both")
    text = options.product.read_text(encoding="utf-8") if options.product else None
    if bad := [f"--parameter {word!r}: must be KEY=VALUE" for word in options.parameter if "=" not in word]:
        raise BadInput(*bad)
    path = options.bundle or options.seed
    with opened(path) if path else nullcontext((None, None)) as (seed, packed):
        result = _checked(options, console, seed, packed, text)
    show(result, console)
    return result


def _checked(
    options: argparse.Namespace, console: Console, seed: Seed | None, packed: bundles.Bundle | None, text: str | None
) -> dict[str, Any]:
    from .check import flow
    from .check.clients import clients

    if options.to == "embedded":
        from .rehearsal.checking import check

        if seed is None:
            raise BadInput("check: give the folder of a seed repository, which the embedded AWS is set up for")
        return check(seed, console, text, packed)
    region = options.region or (seed.answers["aws_region"] if seed else None)
    if region is None:
        raise BadInput("check: give --region, or a seed repository, which names one")
    profiles = {stage: getattr(options, f"{stage}_profile") for stage in STAGES}
    somewhere = options.to != "nowhere"
    return flow.check(
        clients(region, options.profile) if somewhere else None,
        region,
        console,
        seed=seed,
        packed=packed,
        bucket=options.bucket or (seed.answers["seed_bucket"] if seed else ""),
        portfolio_id=options.portfolio_id,
        launch_role_arn=options.launch_role_arn,
        stage_clients={stage: clients(region, name) for stage, name in profiles.items() if name and somewhere},
        stage_ids={stage: getattr(options, f"{stage}_account") for stage in STAGES},
        parameters=dict(word.split("=", 1) for word in options.parameter),
        text=text,
    )


def _rehearse(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    from .rehearsal.road.journey import Options
    from .rehearsal.road.keeping import keep
    from .rehearsal.road.walk import walk

    asked = Options(
        seed=options.seed,
        answers=options.answer,
        output=options.output,
        until=options.until,
        after=options.after,
        drift=options.drift,
        fail_at=options.fail_at,
        product=options.product,
        archive=options.archive,
        account_templates=options.account_template,
        templates=options.templates,
        parameters=options.parameter,
        strict=options.strict,
        page=options.page or options.output / "rehearsal.html",
    )
    return walk(asked, console, keep=keep if options.keep else None)


def publish_to(where: str, project: Path) -> None:
    """What the hook calls: publishes a rendered repository, raising what went wrong."""
    options = _parser().parse_args(["publish", str(project), "--to", where])
    options.act(options, Console())


def main(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(argv)
    console = Console(json=options.json)
    try:
        result = options.act(options, console)
        console.result(result)
    except SeedError as error:
        console.fail(tuple(str(error).splitlines()))
        return error.exit_code
    except KeyboardInterrupt:
        console.fail(("interrupted; run the same command again, it goes on where it stopped",))
        return 1
    return 1 if result.get("findings") else 0


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main(sys.argv[1:]))
