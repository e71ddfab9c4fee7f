"""What a template asks for under certain parameters: which resources, in which order, with which properties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from . import parameters
from . import properties as props
from .document import Document, dependencies, references
from .failure import TemplateError
from .predicates import Ask, Conditions, check_rules
from .values import NO_VALUE, UNKNOWN, Scope, is_known, resolve

URL_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}


@dataclass(frozen=True)
class Place:
    """Where a stack is, and what it is called there."""

    account: str
    region: str
    partition: str
    stack_name: str
    stack_id: str

    @property
    def pseudo_parameters(self) -> dict[str, Any]:
        """The values that every template may refer to."""
        return {
            "AWS::AccountId": self.account,
            "AWS::NotificationARNs": [],
            "AWS::Partition": self.partition,
            "AWS::Region": self.region,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.stack_name,
            "AWS::URLSuffix": URL_SUFFIXES.get(self.partition, "amazonaws.com"),
        }


@dataclass(frozen=True)
class Wanted:
    """A resource that a template asks for; ``properties`` still hold functions, but no branch that is not taken."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    depends_on: tuple[str, ...]
    deletion_policy: str
    update_replace_policy: str
    metadata: Any


@dataclass(frozen=True)
class Output:
    """A value that a stack gives, resolved."""

    name: str
    value: str
    description: str | None
    export: str | None


class Desired:
    """A template with its parameters.

    Args:
        document: the template.
        texts: the parameters' texts, each within its bounds.
        place: where the stack is.
        imported: the value of an export of this account and region.
        zones: the availability zones of a region.

    Raises:
        TemplateError: a rule is not satisfied, a condition cannot be decided, or resources depend on each other.
    """

    def __init__(
        self,
        document: Document,
        texts: Mapping[str, str],
        place: Place,
        imported: Callable[[str], str],
        zones: Callable[[str], list[str]],
    ) -> None:
        self.document, self.texts, self.place = document, dict(texts), place
        self.imports: set[str] = set()
        given = {name: parameters.value_of(document.parameters[name], text) for name, text in texts.items()}

        def import_(name: str) -> str:
            self.imports.add(name)
            return imported(name)

        def scope(ask: Ask) -> Scope:
            no_resource = _nothing_of_resources
            return Scope(
                given | place.pseudo_parameters, document.mappings, ask, no_resource, no_resource, import_, zones
            )

        conditions = Conditions(document.conditions, scope)
        self._scope = scope(conditions.holds)
        check_rules(document.rules, self._scope)
        conditions.decide_all()
        self.resources = {
            name: self._wanted(name, resource)
            for name, resource in document.resources.items()
            if "Condition" not in resource or conditions.holds(resource["Condition"])
        }
        self._outputs = {
            name: {key: self._pruned(value) for key, value in output.items()}
            for name, output in document.outputs.items()
            if "Condition" not in output or conditions.holds(output["Condition"])
        }
        self._check_absent()

    def _wanted(self, name: str, resource: Mapping[str, Any]) -> Wanted:
        return Wanted(
            logical_id=name,
            type=resource["Type"],
            properties=self._pruned(resource.get("Properties", {})),
            depends_on=tuple(map(str, dependencies(resource))),
            deletion_policy=resource.get("DeletionPolicy", "Delete"),
            update_replace_policy=resource.get("UpdateReplacePolicy", "Delete"),
            metadata=resource.get("Metadata"),
        )

    def _pruned(self, value: Any) -> Any:
        """``value`` with each ``Fn::If`` replaced by the branch that is taken."""
        if isinstance(value, list):
            return [self._pruned(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and isinstance(branch := value.get("Fn::If"), list) and len(branch) == 3:
            return self._pruned(branch[1] if self._scope.condition(str(branch[0])) else branch[2])
        return {key: self._pruned(item) for key, item in value.items()}

    def _check_absent(self) -> None:
        """References to resources whose condition does not hold."""
        for block, content in (
            ("Resources", [wanted.properties for wanted in self.resources.values()]),
            ("Outputs", list(self._outputs.values())),
        ):
            absent = {n for n, _ in references(content) if n in self.document.resources and n not in self.resources}
            if absent:
                raise TemplateError(
                    f"Template format error: Unresolved resource dependencies [{', '.join(sorted(absent))}] in the "
                    f"{block} block of the template"
                )

    @cached_property
    def dependencies(self) -> dict[str, set[str]]:
        """For each resource, those that must be there before it; sorted so that each comes after all of its own.

        Raises:
            TemplateError: resources that depend on each other.
        """
        direct = {
            name: ({n for n, _ in references(wanted.properties)} | set(wanted.depends_on)) & set(self.resources)
            for name, wanted in self.resources.items()
        }
        return sorted_by_dependency(direct)

    def resolve(
        self, value: Any, ref: Callable[[str], Any] = lambda _: UNKNOWN, att: Callable[[str, str], Any] | None = None
    ) -> Any:
        """``value`` evaluated; ``ref`` and ``att`` say what the resources tell, which is else unknown."""
        return resolve(value, replace(self._scope, reference=ref, attribute=att or (lambda *_: UNKNOWN)))

    def check_attributes(self) -> None:
        """Refuses an ``Fn::GetAtt`` of what a type does not have.

        Raises:
            TemplateError: with the name of the attribute.
        """
        everything: list[Any] = [wanted.properties for wanted in self.resources.values()]
        for name, attribute in references([*everything, *self._outputs.values()]):
            if attribute is None or name not in self.resources:
                continue
            if not props.has_attribute(self.resources[name].type, self.place.region, attribute):
                raise TemplateError(
                    f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
                )

    def outputs(self, ref: Callable[[str], Any], att: Callable[[str, str], Any]) -> list[Output]:
        """What the stack gives.

        Raises:
            TemplateError: a value that is not a text.
        """
        return [self._output(name, output, ref, att) for name, output in self._outputs.items()]

    def _output(
        self, name: str, output: Mapping[str, Any], ref: Callable[[str], Any], att: Callable[[str, str], Any]
    ) -> Output:
        value, export = (
            self.resolve(part, ref, att) for part in (output["Value"], output.get("Export", {}).get("Name"))
        )
        for part in (value, export):
            if part is NO_VALUE or isinstance(part, dict | list):
                raise TemplateError(
                    f"Template format error: Output {name} is malformed. The Value field of every Outputs member must "
                    "evaluate to a String."
                )
        return Output(name, _text(value), output.get("Description"), None if export is None else _text(export))

    def holds(self, condition: str) -> bool:
        """Whether one of the template's conditions holds."""
        return self._scope.condition(condition)


def _text(value: Any) -> str:
    if not is_known(value):
        return repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nothing_of_resources(*names: str) -> Any:
    raise TemplateError(
        f"Template format error: Unresolved dependencies [{names[0]}]. Cannot reference resources in the Conditions or "
        "Rules block of the template"
    )


def sorted_by_dependency(direct: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """``direct`` in an order in which each name comes after all that it depends on; otherwise as it was.

    Raises:
        TemplateError: names that depend on each other.
    """
    left = {name: set(before) for name, before in direct.items()}
    done: dict[str, set[str]] = {}
    while left:
        ready = [name for name, before in left.items() if before <= set(done)]
        if not ready:
            raise TemplateError(f"Circular dependency between resources: [{', '.join(sorted(_cycle(left)))}]")
        for name in ready:
            done[name] = left.pop(name)
    return done


def _cycle(left: Mapping[str, set[str]]) -> set[str]:
    """Those of ``left`` that are in a circle, rather than behind one."""
    while True:
        needed = {before for names in left.values() for before in names}
        inside = {name: names & set(left) for name, names in left.items() if name in needed}
        if len(inside) == len(left):
            return set(left)
        left = inside
