"""Checks a pipeline's declaration as CodePipeline does when it is created or updated. Executes nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ..wire import AwsError, not_implemented
from . import stacks, variables
from .action_types import ELSEWHERE, TYPES, ActionType, key_of

Declared = dict[str, Any]
Action = dict[str, Any]

# Parts of a declaration that mean something which is not done.
REFUSED_OF_PIPELINE = ("triggers",)
REFUSED_OF_STAGE = ("beforeEntry", "onSuccess", "onFailure", "blockers")
REFUSED_OF_ACTION = ("commands", "outputVariables", "environmentVariables")
ONLY_V2 = ("variables", "triggers")
STAGES, ACTIONS_OF_STAGE = 50, 100


def checked(given: Declared, region: str) -> Declared:
    """The declaration with its defaults.

    Raises:
        AwsError: what is wrong with it, or what of it is not implemented.
    """
    declared = _with_defaults(given)
    _refuse(declared, REFUSED_OF_PIPELINE, f"pipeline {declared['name']}")
    _check_kind(declared)
    _check_store(declared, region)
    _check_stages(declared["stages"])
    made: set[str] = set()
    spaces: set[str] = set()
    for stage in declared["stages"]:
        for order in sorted({action["runOrder"] for action in stage["actions"]}):
            together = [action for action in stage["actions"] if action["runOrder"] == order]
            for action in together:
                _check_action(stage, action, region)
                _check_inputs(action, made)
                _check_references(stage, action, spaces, declared)
            for action in together:
                _add_outputs(action, made)
                _add_namespace(action, spaces)
    return declared


def values(declared: Declared, given: list[dict[str, str]]) -> dict[str, str]:
    """The values of the pipeline's variables in one execution: given ones over defaults.

    Raises:
        AwsError: a variable is given that the pipeline has not, or given twice.
    """
    known = {variable["name"]: variable.get("defaultValue") for variable in declared.get("variables") or ()}
    names = [variable["name"] for variable in given]
    if unknown := [name for name in names if name not in known]:
        raise AwsError(
            "ValidationException", f"Variable(s) {', '.join(unknown)} not declared in pipeline {declared['name']}"
        )
    if len(set(names)) < len(names):
        raise AwsError("ValidationException", "A variable is given more than once")
    chosen = known | {variable["name"]: variable["value"] for variable in given}
    return {name: value for name, value in chosen.items() if value is not None}


def without_value(declared: Declared, chosen: dict[str, str]) -> list[str]:
    """The variables that have neither a default nor a value."""
    return [v["name"] for v in declared.get("variables") or () if v["name"] not in chosen]


def _with_defaults(given: Declared) -> Declared:
    declared = copy.deepcopy(given)
    declared.setdefault("pipelineType", "V1")
    declared.setdefault("executionMode", "SUPERSEDED")
    for stage in declared["stages"]:
        for action in stage["actions"]:
            action["runOrder"] = action.get("runOrder") or 1
            for name, empty in (("configuration", {}), ("outputArtifacts", []), ("inputArtifacts", [])):
                action[name] = action.get(name) or empty
    return declared


def _refuse(part: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in names:
        if part.get(name):
            raise not_implemented("codepipeline", name, f"It is declared in {where}.")


def _structure(message: str) -> AwsError:
    return AwsError("InvalidStructureException", message)


def _stage_error(message: str) -> AwsError:
    return AwsError("InvalidStageDeclarationException", message)


def _action_error(message: str) -> AwsError:
    return AwsError("InvalidActionDeclarationException", message)


def _check_kind(declared: Declared) -> None:
    if declared["pipelineType"] == "V2":
        return
    if declared["executionMode"] != "SUPERSEDED":
        raise _structure(f"Pipelines of type V1 do not support the execution mode {declared['executionMode']}")
    if present := [name for name in ONLY_V2 if declared.get(name)]:
        raise _structure(f"Pipelines of type V1 do not support {', '.join(present)}")


def _check_store(declared: Declared, region: str) -> None:
    one, several = declared.get("artifactStore"), declared.get("artifactStores")
    if (one is None) == (several is None):
        raise _structure("A pipeline must have either artifactStore or artifactStores, and not both")
    if several is None:
        return
    if region not in several:
        raise _structure(f"artifactStores has no store for the pipeline's region {region}")
    if others := sorted(set(several) - {region}):
        raise not_implemented(
            "codepipeline", "artifactStores", f"It has stores for other regions: {', '.join(others)}."
        )


def _check_stages(stages: list[dict[str, Any]]) -> None:
    if len(stages) < 2:
        raise _structure("Pipeline has too few stages. There should be at least 2 stages in a pipeline")
    if len(stages) > STAGES:
        raise AwsError("LimitExceededException", f"A pipeline has {STAGES} stages at most")
    if twice := _twice([stage["name"] for stage in stages]):
        raise _stage_error(f"Stage names must be unique within a pipeline. Duplicate: {twice}")
    for number, stage in enumerate(stages):
        _refuse(stage, REFUSED_OF_STAGE, f"stage {stage['name']}")
        if not stage["actions"]:
            raise _stage_error(f"Stage {stage['name']} should have at least 1 action")
        if len(stage["actions"]) > ACTIONS_OF_STAGE:
            raise AwsError("LimitExceededException", f"A stage has {ACTIONS_OF_STAGE} actions at most")
        if twice := _twice([action["name"] for action in stage["actions"]]):
            raise _stage_error(f"Action names must be unique within stage {stage['name']}. Duplicate: {twice}")
        sources = [action["actionTypeId"]["category"] == "Source" for action in stage["actions"]]
        if number == 0 and not all(sources):
            raise _structure("Pipeline should start with a stage that only contains source actions")
        if number > 0 and any(sources):
            raise _stage_error("Source actions may only occur in the first stage")


def _twice(names: list[str]) -> str:
    return ", ".join(sorted({name for name in names if names.count(name) > 1}))


def _check_action(stage: dict[str, Any], action: Action, region: str) -> None:
    name = action["name"]
    kind = _type(action, region)
    _refuse(action, REFUSED_OF_ACTION, f"action {name}")
    if action.get("region", region) != region:
        raise not_implemented("codepipeline", "region", f"Action {name} is to run in {action['region']}.")
    if action.get("timeoutInMinutes") and action["actionTypeId"]["category"] != "Approval":
        raise _action_error(f"Action {name} may not have timeoutInMinutes: only a manual approval may")
    _check_configuration(action, kind)
    for what, count, (low, high) in (
        ("input", len(action["inputArtifacts"]), kind.inputs),
        ("output", len(action["outputArtifacts"]), kind.outputs),
    ):
        declares = f"Action {name} declares {count} {what} artifacts which is"
        if count < low:
            raise _action_error(f"{declares} less than the minimum count ({low})")
        if count > high:
            raise _action_error(f"{declares} more than the maximum count ({high})")
    for output in action["outputArtifacts"]:
        if output.get("files"):
            raise not_implemented("codepipeline", "files", f"It is declared in an output of action {name}.")
    if (check := CHECKS.get(key_of(action["actionTypeId"])[2])) is not None:
        check(stage, action)


def _type(action: Action, region: str) -> ActionType:
    category, owner, provider, version = key = key_of(action["actionTypeId"])
    if key in TYPES:
        return TYPES[key]
    if provider in ELSEWHERE.get((category, owner), ()):
        raise not_implemented("codepipeline", f"{category} by {provider}", f"Action {action['name']} is of that type.")
    raise _action_error(
        f"ActionType (Category: '{category}', Provider: '{provider}', Owner: '{owner}', Version: '{version}') "
        f"in action '{action['name']}' is not available in region '{region.upper().replace('-', '_')}'"
    )


def _check_configuration(action: Action, kind: ActionType) -> None:
    given, what = action["configuration"], f"Action configuration for action '{action['name']}'"
    for key, value in kind.refused.items():
        if key in given and value in (None, given[key]):
            why = f"Action {action['name']} has it as {given[key]}."
            raise not_implemented("codepipeline", f"{action['actionTypeId']['provider']} with {key}", why)
    for key in sorted(kind.required - given.keys()):
        raise _action_error(f"{what} is missing required configuration '{key}'")
    for key in sorted(given.keys() - kind.required - kind.optional):
        raise _action_error(f"{what} contains unknown configuration '{key}'")
    for key, allowed in kind.values.items():
        if key in given and given[key] not in allowed and given[key].lower() not in allowed:
            raise _action_error(
                f"{what} contains invalid value '{given[key]}' for '{key}': {sorted(allowed)} are known"
            )
    inputs = {artifact["name"] for artifact in action["inputArtifacts"]}
    for key in sorted(kind.references & given.keys()):
        artifact, separator, path = given[key].partition("::")
        if separator and not artifact.startswith("ParameterKey") and (artifact not in inputs or not path):
            raise _action_error(
                f"{what}: '{key}' is '{given[key]}', which is not <input artifact>::<file>; its input artifacts are "
                f"{sorted(inputs)}"
            )


def _check_object(_: dict[str, Any], action: Action) -> None:
    """Buckets tell of no changes here, so that what AWS would poll by default could not be noticed."""
    if is_polled(action):
        raise not_implemented(
            "codepipeline",
            "PollForSourceChanges",
            f"Action {action['name']} does not say false: start the pipeline by an event rule.",
        )


def is_polled(action: Action) -> bool:
    """Whether CodePipeline itself watches a source for changes, as it does unless it is told not to."""
    return str(action["configuration"].get("PollForSourceChanges", "true")).lower() == "true"


def _check_build(_: dict[str, Any], action: Action) -> None:
    inputs = [artifact["name"] for artifact in action["inputArtifacts"]]
    primary = action["configuration"].get("PrimarySource")
    if len(inputs) > 1 and primary is None:
        raise _action_error(
            f"Action configuration for action '{action['name']}' is missing required configuration 'PrimarySource', "
            "which an action with several input artifacts needs"
        )
    if primary is not None and primary not in inputs:
        raise _action_error(f"PrimarySource '{primary}' of action '{action['name']}' is not one of its input artifacts")


def _check_stack(_: dict[str, Any], action: Action) -> None:
    given = action["configuration"]
    for key in stacks.NEEDED[given["ActionMode"]]:
        if key not in given:
            raise _action_error(
                f"Action configuration for action '{action['name']}' is missing required configuration '{key}', which "
                f"ActionMode {given['ActionMode']} needs"
            )
    if "TemplatePath" in given and "::" not in given["TemplatePath"]:
        raise _action_error(f"TemplatePath '{given['TemplatePath']}' is not <input artifact>::<file>")
    if ("OutputFileName" in given) != bool(action["outputArtifacts"]):
        raise _action_error(f"Action '{action['name']}' needs both OutputFileName and an output artifact, or neither")


def _check_stack_set(_: dict[str, Any], action: Action) -> None:
    given = action["configuration"]
    automatic = given.get("OrganizationsAutoDeployment", "Disabled") != "Disabled"
    if automatic and ("DeploymentTargets" in given or "Regions" in given):
        raise _action_error(
            f"Action '{action['name']}' may not have DeploymentTargets and Regions with OrganizationsAutoDeployment "
            f"{given['OrganizationsAutoDeployment']}"
        )
    if given.get("PermissionModel") == "SERVICE_MANAGED":
        wrong = [key for key in ("AdministrationRoleArn", "ExecutionRoleName") if key in given]
    else:
        wrong = ["OrganizationsAutoDeployment"] if automatic else []
    if wrong:
        model = given.get("PermissionModel", "SELF_MANAGED")
        raise _action_error(f"Action '{action['name']}' may not have {', '.join(wrong)} with PermissionModel {model}")


CHECKS = {
    "CodeBuild": _check_build,
    "S3": _check_object,
    "CloudFormation": _check_stack,
    "CloudFormationStackSet": _check_stack_set,
}


def _check_inputs(action: Action, made: set[str]) -> None:
    for artifact in action["inputArtifacts"]:
        if artifact["name"] not in made:
            raise _action_error(
                f"Input Artifact Bundle {artifact['name']} in action {action['name']} is not declared as Output "
                "Artifact Bundle in any of the preceding actions"
            )


def _add_outputs(action: Action, made: set[str]) -> None:
    for artifact in action["outputArtifacts"]:
        if artifact["name"] in made:
            raise _action_error(
                f"Output Artifact Bundle name must be unique within the pipeline. {artifact['name']} has been used "
                "more than once"
            )
        made.add(artifact["name"])


def _add_namespace(action: Action, spaces: set[str]) -> None:
    space = action.get("namespace")
    if space is None:
        return
    if space in spaces or space in {variables.PIPELINE, variables.EXECUTION}:
        raise _action_error(f"Namespace '{space}' of action '{action['name']}' is taken: it must be unique")
    spaces.add(space)


def _check_references(stage: dict[str, Any], action: Action, spaces: set[str], declared: Declared) -> None:
    known = {variable["name"] for variable in declared.get("variables") or ()}
    for key, space, name in _references(action):
        where = (
            f"StageName=[{stage['name']}], ActionName=[{action['name']}], ActionConfigurationKey=[{key}], "
            f"VariableReferenceText=[#{{{space}.{name}}}]"
        )
        if space == variables.PIPELINE:
            there = name in known
        elif space == variables.EXECUTION:
            there = name in variables.EXECUTION_KEYS
        elif space in spaces:
            continue
        else:
            raise _action_error(
                "The following pipeline execution variables are referencing a namespace that does not exist. " + where
            )
        if not there:
            raise _action_error(
                "The following pipeline execution variables are referencing a variable that does not exist. " + where
            )


def _references(action: Action) -> Iterator[tuple[str, str, str]]:
    return variables.references(action["configuration"])
