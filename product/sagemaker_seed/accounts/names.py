"""What the stacks and roles of prepared accounts are called, for those who deploy them and those who look for them."""

from __future__ import annotations

ROLES_STACK, CATALOG_STACK, STAGE_STACK = "sagemaker-seed-roles", "sagemaker-seed-catalog", "sagemaker-seed-stage"
STACK_SETS_STACK = "sagemaker-seed-stacksets"
WATCH_STACK, STORED_STACK = "sagemaker-seed-watch", "sagemaker-seed-stored-inference"
# By template: the stack that it becomes.
STACKS = {
    "data-science-account.yaml": ROLES_STACK,
    "catalog.yaml": CATALOG_STACK,
    "target-account.yaml": STAGE_STACK,
    "stacksets.yaml": STACK_SETS_STACK,
    "watching.yaml": WATCH_STACK,
    "stored-inference.yaml": STORED_STACK,
}
CLOUDFORMATION_ROLE, MODEL_ROLE = "sagemaker-seed-cloudformation", "sagemaker-seed-model"
# Whose tests look at a stage: the role of the account that trains itself, where the stage is there.
TEST_ROLES = {True: "sagemaker-seed-test", False: "sagemaker-seed-deploy"}
# What makes a stage by a stack set: a role of ours, or one that Organizations makes and nobody may change.
STACK_SET_ROLES = {"stackset-self-managed": "sagemaker-seed-stackset-execution", "stackset-service-managed": ""}


def role_names(target: str, *, here: bool) -> dict[str, str]:
    """By parameter: our roles in the account of a stage that ``watching.yaml`` and ``stored-inference.yaml`` add to.

    Args:
        target: the deploy target.
        here: whether the stage is in the account that trains.
    """
    return {
        "CloudFormationRoleName": CLOUDFORMATION_ROLE if here else STACK_SET_ROLES.get(target, CLOUDFORMATION_ROLE),
        "ModelRoleName": MODEL_ROLE,
        "TestRoleName": TEST_ROLES[here],
    }
