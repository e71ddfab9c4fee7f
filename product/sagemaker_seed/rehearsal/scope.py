"""Says what the embedded AWS answers, honours and refuses: the lists of a page, from the tables that act. Changes none.

python -m sagemaker_seed.rehearsal.scope                          prints the lists
python -m sagemaker_seed.rehearsal.scope docs/embedded-aws.md     puts them in their place in the page
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import botocore.session
from moto.core.utils import camelcase_to_underscores

from ..templates import document
from ..templates.schemas import resource_schema
from .access.gate import JUDGED_ELSEWHERE
from .access.tables import NEVER_ASKED, TABLES
from .builds import buildspec, sources
from .builds.failure import NOT_DONE, BuildFailure
from .delivery import action_types, declaration
from .dispatch import own_services
from .ground import Ground
from .jobs import contract, definition
from .services import (
    cloudformation_requests,
    cloudformation_stacksets,
    codebuild_builds,
    codebuild_projects,
    events,
    events_targets,
    s3,
    sagemaker,
    sagemaker_asynchronous,
    sagemaker_endpoint_configs,
    sagemaker_models,
    sagemaker_pipelines,
    sagemaker_registry,
    sagemaker_runtime,
    sagemaker_transforms,
    servicecatalog_launch,
    sts,
)
from .services.service import Service
from .stacks.providers import PROVIDERS

BEGIN = "<!-- lists: made by python -m sagemaker_seed.rehearsal.scope docs/embedded-aws.md -->"
END = "<!-- end of the lists -->"
REGION = "us-east-1"  # whose resource schemas tell which properties a type has
WIDTH = 130
# Operations that are ours to refuse.
REFUSED: Mapping[str, Iterable[str]] = {
    "events": events.REFUSED,
    "sagemaker": sagemaker.PRETENDED,
    "sts": sts.REFUSED,
}
FEW = 45
# Parameters and kinds that an operation refuses by name: where, and what.
REFUSED_PARAMETERS: tuple[tuple[str, Iterable[str]], ...] = (
    ("CloudFormation, any operation", cloudformation_requests.REFUSED),
    ("CloudFormation, operations on stack sets", [*cloudformation_stacksets.REFUSED_SETTINGS]),
    ("CloudFormation, sections of a template", document.REFUSED_SECTIONS),
    ("CloudFormation, attributes of a resource", document.REFUSED_ATTRIBUTES),
    ("CodeBuild, a project", codebuild_projects.REFUSED),
    ("CodeBuild, the start of a build", codebuild_builds.REFUSED),
    ("CodePipeline, a pipeline", declaration.REFUSED_OF_PIPELINE),
    ("CodePipeline, a stage", declaration.REFUSED_OF_STAGE),
    ("CodePipeline, an action", declaration.REFUSED_OF_ACTION),
    ("SageMaker, CreateEndpointConfig", sagemaker_endpoint_configs.REFUSED),
    ("SageMaker, a production variant", sagemaker_endpoint_configs.REFUSED_OF_VARIANT),
    ("SageMaker, a container of a model", sagemaker_models.REFUSED),
    ("SageMaker, a model package", sagemaker_registry.REFUSED),
    *((f"SageMaker, {name}", refused) for name, refused in sagemaker_pipelines.REFUSED.items()),
    ("SageMaker, CreateTransformJob", sagemaker_transforms.REFUSED),
    ("SageMaker, InvokeEndpoint", sagemaker_runtime.REFUSED),
    ("SageMaker, InvokeEndpointAsync", sagemaker_asynchronous.REFUSED),
    ("Service Catalog, constraints", servicecatalog_launch.REFUSED_CONSTRAINTS),
)
# A buildspec for each thing in one that is refused: what is said of it is what a build would say.
PHASE = "version: 0.2\nphases: {build: {commands: [x]%s}}\n"
REFUSED_BUILDSPECS = (
    "version: 0.1",
    PHASE % "" + "batch: {fast-fail: true}",
    PHASE % "" + "proxy: {logs: yes}",
    PHASE % "" + "run-as: somebody",
    PHASE % "" + "env: {shell: powershell.exe}",
    PHASE % ", steps: [x]",
    PHASE % ", on-failure: RETRY",
    PHASE % "" + "artifacts: {files: x, enable-symlinks: yes}",
    PHASE % "" + "artifacts: {files: x, s3-prefix: y}",
    PHASE % "" + "artifacts: {files: x, name: $(date)}",
    *(
        PHASE % "" + f"reports: {{tests: {{files: x, file-format: {kind}}}}}"
        for kind in sorted(buildspec.KNOWN_FORMATS - buildspec.TEST_FORMATS)
    ),
)


@dataclass(frozen=True)
class Scope:
    """What becomes of the operations that the SDK has for one service.

    Attributes:
        ours: answered by this project's code.
        moto: answered by moto.
        refused: refused by name.
        own: whether there is anything of ours in it; else it is moto's as it is.
        unjudged: of those that are answered, what ``--strict`` refuses to all but an account's root.
    """

    name: str
    ours: tuple[str, ...]
    moto: tuple[str, ...]
    refused: tuple[str, ...]
    own: bool
    unjudged: tuple[str, ...]


@cache
def scopes() -> tuple[Scope, ...]:
    """Of every service that has something of ours, in its operations or in what ``--strict`` asks for."""
    ground = Ground("http://127.0.0.1:1")
    try:
        own = own_services(ground)
    finally:
        ground.close()
    return tuple(_scope(name, own.get(name)) for name in sorted({*own, *TABLES}))


def _scope(name: str, service: Service | None) -> Scope:
    known = tuple(botocore.session.get_session().get_service_model(name).operation_names)
    refused = set(REFUSED.get(name, ()))
    ours = {operation for operation in known if service and operation in service.operations} - refused
    motos = set() if service and service.complete else _of_moto(name, known) - ours - refused
    answered = sorted(ours | motos)
    table = TABLES.get(name)
    elsewhere = JUDGED_ELSEWHERE.get(name, set())
    judged = {o for o in answered if elsewhere is None or o in elsewhere or (table and table.needed(o) is not None)}
    return Scope(
        name,
        tuple(sorted(ours)),
        tuple(sorted(motos)),
        tuple(sorted(set(known) - ours - motos)),
        service is not None,
        tuple(operation for operation in answered if operation not in judged),
    )


def _of_moto(name: str, operations: Iterable[str]) -> set[str]:
    """Those for which moto has a method; of S3, where that says little, those that are let through to it."""
    if name == "s3":
        # Some of S3's operations have an older name beside the newer, for the same request.
        requests = {o: _request_of(name, o) for o in operations}
        answered = {requests[o] for o in s3.IMPLEMENTED if o in requests}
        return {o for o, request in requests.items() if request in answered}
    paths = import_module(f"moto.{name.replace('-', '')}.urls").url_paths
    classes = {getattr(handler, "__self__", None) for handler in paths.values()}
    return {o for o in operations if any(hasattr(one, camelcase_to_underscores(o)) for one in classes)}


def _request_of(service: str, operation: str) -> tuple[str, str]:
    http = botocore.session.get_session().get_service_model(service).operation_model(operation).http
    return str(http["method"]), str(http["requestUri"])


def refused_in_buildspecs() -> list[str]:
    """What a build says of each thing in a buildspec that it does not do."""
    return [_refusal(text) for text in REFUSED_BUILDSPECS]


def _refusal(text: str) -> str:
    try:
        buildspec.parse(text)
    except BuildFailure as failure:
        if failure.code == NOT_DONE:
            return failure.message.removeprefix("The embedded AWS does not implement ").removesuffix(".")
        raise
    raise ValueError(f"this is no longer refused: {text}")


def markdown() -> str:
    """The lists of the page."""
    parts = [_services(), _parameters(), _resources(), _actions(), _steps(), _buildspecs(), _strict()]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _table(*heads: str) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(str(name) for name in names))


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False), ""]


def _services() -> Iterator[str]:
    yield "### Operations"
    yield ""
    yield "How many of the SDK's operations are answered by whom."
    yield ""
    yield from _table("service", "ours", "moto's", "refused by name")
    for scope in scopes():
        yield _row(f"`{scope.name}`", len(scope.ours), len(scope.moto), len(scope.refused))
    yield ""
    for scope in scopes():
        if scope.own:
            yield f"<details><summary><code>{scope.name}</code></summary>"
            yield ""
            for title, names in (("Ours", scope.ours), ("moto's", scope.moto), ("Refused", scope.refused)):
                if names:
                    yield from _paragraph(f"**{title}:** {_listed(names)}.")
            yield "</details>"
    yield ""


def _parameters() -> Iterator[str]:
    yield "### Parameters and settings that are refused"
    yield ""
    yield from _table("where", "refused by name")
    for where, names in REFUSED_PARAMETERS:
        yield _row(where, _listed(names))
    yield ""
    yield from _paragraph(
        f"Targets of event rules are of {_listed(events_targets.KINDS)}; of a target, "
        f"{_listed(events_targets.HONOURED)} and its kind's own parameters are honoured. Sources of builds are "
        f"{_listed(sources.FETCHERS)}, or CODEPIPELINE. Everything else of either is refused."
    )


def _resources() -> Iterator[str]:
    yield "### Resource types"
    yield ""
    yield from _paragraph(
        f"{len(PROVIDERS)} types. A resource of another type, a property that a type does not have, and one in the "
        "last column fail the stack by name. What is honoured is handed to the service, which may refuse more of it."
    )
    yield from _table("type", "honoured", "refused")
    for kind, provider in sorted(PROVIDERS.items()):
        raw = resource_schema(kind, REGION).raw
        told = {pointer.removeprefix("/properties/") for pointer in raw.get("readOnlyProperties", ())}
        rest = set(raw["properties"]) - told - provider.honours
        yield _row(f"`{kind}`", _listed(provider.honours), _listed(rest) or "nothing")
    yield ""
    yield from _paragraph(
        f"Functions: {_listed(document.FUNCTIONS)}, Ref, Condition; in rules also "
        f"{_listed(document.RULE_FUNCTIONS)}. Pseudo parameters: {_listed(document.PSEUDO_PARAMETERS)}. "
        + " ".join(f"{name}: {_listed(values)}." for name, values in document.POLICIES.items())
    )


def _actions() -> Iterator[str]:
    yield "### Actions of CodePipeline"
    yield ""
    yield from _table("action", "configuration", "refused in it")
    for (category, _, provider, _), kind in action_types.TYPES.items():
        refused = [name if value is None else f"{name}: {value}" for name, value in kind.refused.items()]
        keys = _listed((kind.required | kind.optional) - {n for n, value in kind.refused.items() if value is None})
        yield _row(f"{category}: {provider}", keys, _listed(refused) or "nothing")
    yield ""
    elsewhere = (f"{category}: {_listed(names)}" for (category, _), names in action_types.ELSEWHERE.items())
    yield from _paragraph(f"Refused, by name, when a pipeline is declared with them: {'; '.join(elsewhere)}.")


def _steps() -> Iterator[str]:
    yield "### Steps of SageMaker pipelines"
    yield ""
    yield from _paragraph(
        f"Types: {_listed(definition.KEYS_OF_TYPE)}; a definition with another is refused. Conditions: "
        f"{_listed(definition.CONDITIONS)}. Functions: {_listed(definition.FUNCTIONS)}. Jobs are scripts: training "
        f"needs the hyperparameters {' and '.join(contract.SCRIPT_MODE)}, which the SDK sets for a script."
    )
    yield from _table("step", "arguments", "only with these values")
    for kind, paths in contract.ONLY.items():
        only = (
            f"{'.'.join(path).replace('.*', '[]')} = {' or '.join('none' if v is None else str(v) for v in values)}"
            for path, values in paths.items()
        )
        honoured = contract.HONOURED.get(kind)
        yield _row(kind, _listed(honoured) if honoured else f"those of {contract.OPERATION[kind]}", "; ".join(only))
    yield ""


def _buildspecs() -> Iterator[str]:
    yield "### Buildspecs"
    yield ""
    yield from _table("in", "keys")
    for where, keys in buildspec.KEYS.items():
        yield _row(where or "the buildspec", _listed(keys))
    yield ""
    yield from _paragraph(f"The build fails by name with: {'; '.join(refused_in_buildspecs())}.")


def _strict() -> Iterator[str]:
    yield "### What `--strict` cannot judge"
    yield ""
    yield from _paragraph(
        "What these operations need is not known here. With `--strict` a role or user who calls one is refused with "
        "`NotJudgedByEmbeddedAws` and its name, and so is one who calls a service that is not among "
        f"{_listed(f'`{scope.name}`' for scope in scopes())}."
    )
    yield from _table("service", "not judged, therefore refused")
    for scope in scopes():
        names = scope.unjudged
        if names:
            yield _row(f"`{scope.name}`", _listed(names) if len(names) <= FEW else f"{len(names)} operations of moto's")
    yield ""
    yield from _paragraph(
        "Actions of this project's templates that nothing here asks for, so that no rehearsal would miss them:"
    )
    yield from _table("action", "why")
    for action, why in NEVER_ASKED.items():
        yield _row(f"`{action}`", why)


def put(page: Path) -> None:
    """Replaces the lists in a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        put(Path(sys.argv[1]))
    else:
        print(markdown(), end="")
