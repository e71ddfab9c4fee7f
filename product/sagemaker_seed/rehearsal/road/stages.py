"""The stages of a rehearsed deployment: what each is called in accounts, files and parameters. Deploys none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: what people call it; see ``Journey.accounts``.
        key: what its files and its endpoint are called by.
        slot: its place among the launch parameters, as in ``Account<slot>Id``.
    """

    name: str
    key: str
    slot: str

    @property
    def title(self) -> str:
        """Of its account and its organizational unit."""
        return self.name.capitalize()


PRODUCTION = Stage("production", "prod", "Prod")
# By the answer `stages`, in the order in which they are deployed. Somebody else's product has two.
LAYOUTS = {
    "two": (Stage("staging", "staging", "Staging"), PRODUCTION),
    "three": (Stage("development", "dev", "Dev"), Stage("pre-production", "preprod", "Staging"), PRODUCTION),
}
# The launch parameters that a rehearsal fills in for a stage, whatever its layout.
ACCOUNT_PARAMETER, UNIT_PARAMETER = "Account{}Id", "OrganizationalUnit{}Id"
PARAMETERS = frozenset(
    form.format(stage.slot)
    for stages in LAYOUTS.values()
    for stage in stages
    for form in (ACCOUNT_PARAMETER, UNIT_PARAMETER)
)
