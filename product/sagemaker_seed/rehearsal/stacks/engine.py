"""Makes, changes and deletes the resources of a stack, and undoes what failed. Says each step in the stack's events.

A deployment is one such operation on one stack. It acts through the providers, as the stack's role or its caller.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...templates import properties as props
from ...templates.desired import Desired, Output
from ...templates.failure import TemplateError
from ..ground import Actor, Event, Ground
from .failure import reason_of
from .plan import Providers, replaced_by
from .provider import Context
from .stack import Resource, Stack, Stacks, now
from .walk import backwards, walk

INITIATED = "User Initiated"
REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."


@dataclass
class Deployment:
    """One operation on a stack.

    Attributes:
        actor: whom the providers act as.
        others: the stacks beside it, for exports.
        tags: those that the stack will have.
    """

    ground: Ground
    providers: Providers
    stacks: Stacks
    stack: Stack
    actor: Actor
    tags: Mapping[str, str]
    _failures: dict[str, str] = field(default_factory=dict)  # logical id -> the verb that failed
    _before: dict[str, Resource] = field(default_factory=dict)
    _created: dict[str, Resource] = field(default_factory=dict)
    _replaced: dict[str, Resource] = field(default_factory=dict)  # the new ones
    _updated: dict[str, Resource] = field(default_factory=dict)  # as they would have been after it
    _kept: set[str] = field(default_factory=set)
    _deadline: float | None = None

    def begin(self, status: str) -> None:
        """Says that the operation begins, before it is started: who asked for it sees that at once."""
        self._become(status, INITIATED)

    def start(self, act: Callable[[], None]) -> None:
        """Runs one of the operations below in a thread of its own."""

        def run() -> None:
            try:
                act()
            except Exception as error:  # nobody waits for the thread: the stack itself must say what broke
                traceback.print_exc()
                verb = self.stack.status.partition("_")[0]
                self._become(f"{verb}_FAILED", f"The embedded AWS failed: {type(error).__name__}: {error}")

        threading.Thread(target=run, daemon=True, name=f"stack {self.stack.name}").start()

    # --- the operations

    def create(self, desired: Desired) -> None:
        """Makes every resource; what was made is deleted again if one fails, unless the stack says otherwise."""
        if self.stack.timeout_minutes:
            self._deadline = time.monotonic() + self.stack.timeout_minutes * 60
        outputs = self._apply(desired)
        if outputs is not None:
            self._commit(desired, outputs)
            self._become("CREATE_COMPLETE")
            return
        if self.stack.on_failure == "DO_NOTHING":
            self._become("CREATE_FAILED", self._failure())
            return
        if self.stack.on_failure == "DELETE":
            self._become("DELETE_IN_PROGRESS", f"{self._failure()} Delete requested by user.")
            self._delete_all("DELETE", creating=True)
            return
        self._become("ROLLBACK_IN_PROGRESS", f"{self._failure()} Rollback requested by user.")
        self._delete_all("ROLLBACK", creating=True)

    def update(self, desired: Desired, *, roll_back: bool = True) -> None:
        """Makes the stack what is desired, or leaves it as it was."""
        self._before = dict(self.stack.resources)
        outputs = self._apply(desired)
        if outputs is None:
            if roll_back:
                self._become("UPDATE_ROLLBACK_IN_PROGRESS", self._failure())
                self.roll_back()
            else:
                self._become("UPDATE_FAILED", self._failure())
            return
        self._commit(desired, outputs)
        self._become("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        removed = {name: old for name, old in self._before.items() if name not in desired.resources}
        gone = self._clean_up(
            {name: self._before[name] for name in self._replaced} | removed,
            lambda name, old: (
                old.wanted.update_replace_policy if name in self._replaced else old.wanted.deletion_policy
            ),
        )
        with self.stack.lock:
            for name in removed:
                self.stack.resources.pop(name, None)
        self._become(
            "UPDATE_COMPLETE", None if gone else "Update successful. One or more resources could not be deleted."
        )

    def roll_back(self, skip: Collection[str] = ()) -> None:
        """Takes an update back: what was changed is changed back, what was made is deleted."""
        for name in set(skip) & set(self._updated):
            del self._updated[name]
        graph = {name: self._before[name].before for name in self._before if name in self._updated}
        if failed := walk(graph, self._revert, go_on=True):
            self.stack.unfinished = self
            names = ", ".join(sorted(failed))
            self._become("UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{names}]. ")
            return
        with self.stack.lock:
            self.stack.unfinished = None
            self.stack.resources = {
                name: self.stack.resources[name] if name in graph else old for name, old in self._before.items()
            }
        self._become("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        made = {n: r for n, r in (self._created | self._replaced).items() if r.made is not None}
        self._clean_up(made, self._policy_of_new)
        self._become("UPDATE_ROLLBACK_COMPLETE")

    def delete(self, retain: Collection[str], *, force: bool = False) -> None:
        """Deletes every resource but those to retain."""
        self._kept = set(retain)
        self._delete_all("DELETE", force=force)

    # --- one resource

    def _apply(self, desired: Desired) -> list[Output] | None:
        """Makes and changes what differs from what is desired; the outputs then, None if something failed."""
        walk(desired.dependencies, lambda name: self._apply_one(desired, name), stop=self._must_stop)
        if self._must_stop() or self._failures:
            return None
        try:
            outputs = desired.outputs(self._ref, self._att)
            self._check_exports(outputs)
        except TemplateError as error:
            self._failures[""] = str(error)
            return None
        return outputs

    def _apply_one(self, desired: Desired, name: str) -> bool:
        wanted, region = desired.resources[name], desired.place.region
        old = self.stack.resources.get(name)
        fresh = Resource(wanted, {}, frozenset(desired.dependencies[name]))
        creating = old is None or old.made is None
        try:
            properties = props.typed(wanted.type, region, desired.resolve(wanted.properties, self._ref, self._att))
        except TemplateError as error:
            return self._fail(fresh if old is None else old, "CREATE" if creating else "UPDATE", error)
        if creating or old is None:
            return self._create(replace(fresh, properties=properties), "CREATE")
        fresh = replace(old, wanted=wanted, properties=properties, before=fresh.before)
        retagged = self.tags != self.stack.tags
        if not props.changed(old.properties, properties) and not retagged:
            self._keep(fresh)
            return True
        if replaced_by(wanted.type, self.providers[wanted.type], region, old.properties, properties):
            return self._replace(old, replace(fresh, made=None))
        return self._update(old, fresh)

    def _create(self, resource: Resource, verb: str) -> bool:
        name, kind = resource.wanted.logical_id, resource.wanted.type
        self._created.setdefault(name, resource)
        self._say(resource, f"{verb}_IN_PROGRESS", REPLACING if verb == "UPDATE" else None)
        if problems := props.check(kind, self.stack.place.region, resource.properties):
            said = f"Properties validation failed for resource {name} with message:\n" + "\n".join(problems)
            return self._fail(resource, verb, TemplateError(said))
        try:
            made = self.providers[kind].create(self._context(name, self.tags), resource.properties)
        except Exception as error:  # whatever it is, it is the reason of the event
            return self._fail(resource, verb, error)
        resource = replace(resource, made=made)
        (self._replaced if name in self._replaced else self._created)[name] = resource
        self._say(resource, f"{verb}_IN_PROGRESS", "Resource creation Initiated")
        if self._must_stop() or self._failures:
            self._say(resource, f"{verb}_FAILED", f"Resource {'creation' if verb == 'CREATE' else 'update'} cancelled")
            return True
        self._say(resource, f"{verb}_COMPLETE")
        return True

    def _replace(self, old: Resource, new: Resource) -> bool:
        name, kind, region = new.wanted.logical_id, new.wanted.type, self.stack.place.region
        self._replaced[name] = new
        identity = props.identity(kind, region)
        named = [part for part in identity if part in new.properties]
        clash = TemplateError(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
            f"{old.physical_id} and update the stack again."
        )
        if identity and len(named) == len(identity) and all(old.properties.get(n) == new.properties[n] for n in named):
            self._say(new, "UPDATE_IN_PROGRESS", REPLACING)
            return self._fail(old, "UPDATE", clash)
        succeeded = self._create(new, "UPDATE")
        self._created.pop(name, None)
        made = self._replaced[name].made
        if made is not None and made.physical_id == old.physical_id:
            # What the new one was made over is the old one: neither is to be deleted.
            self._replaced[name] = replace(self._replaced[name], made=None)
            return self._fail(old, "UPDATE", clash)
        if made is None:
            self._keep(replace(old, status="UPDATE_FAILED", reason=self.stack.resources[name].reason))
        return succeeded

    def _update(self, old: Resource, new: Resource) -> bool:
        name, kind = new.wanted.logical_id, new.wanted.type
        self._say(new, "UPDATE_IN_PROGRESS")
        if problems := props.check(kind, self.stack.place.region, new.properties):
            said = f"Properties validation failed for resource {name} with message:\n" + "\n".join(problems)
            return self._fail(old, "UPDATE", TemplateError(said))
        self._updated[name] = new
        if old.made is None:
            raise ValueError(f"{name} is not there, so it cannot be updated")
        try:
            made = self.providers[kind].update(self._context(name, self.tags), old.made, old.properties, new.properties)
        except Exception as error:  # whatever it is, it is the reason of the event
            return self._fail(old, "UPDATE", error)
        self._updated[name] = replace(new, made=made)
        if self._must_stop() or self._failures:
            self._say(self._updated[name], "UPDATE_FAILED", "Resource update cancelled")
            return True
        self._say(self._updated[name], "UPDATE_COMPLETE")
        return True

    def _revert(self, name: str) -> bool:
        """Changes a resource back to what it was before the update."""
        old, new = self._before[name], self._updated[name]
        made = new.made or old.made
        if made is None:
            raise ValueError(f"{name} is not there, so it cannot be updated")
        self._say(replace(old, made=made), "UPDATE_IN_PROGRESS")
        try:
            made = self.providers[old.wanted.type].update(
                self._context(name, self.stack.tags), made, new.properties, old.properties
            )
        except Exception as error:  # whatever it is, it is the reason of the event
            self._say(replace(old, made=made), "UPDATE_FAILED", reason_of(error, name))
            return False
        self._say(replace(old, made=made), "UPDATE_COMPLETE")
        return True

    def _delete(self, resource: Resource, policy: str, *, keep: bool) -> bool:
        """Deletes a resource, unless its policy keeps it; whether it is off the stack. ``keep``: it stays listed."""
        name = resource.wanted.logical_id
        say: Callable[..., None] = self._event if keep else self._say
        if resource.made is None or (not keep and resource.status == "DELETE_COMPLETE"):
            return True
        if policy != "Delete":
            say(resource, "DELETE_SKIPPED")
            return True
        say(resource, "DELETE_IN_PROGRESS")
        try:
            self.providers[resource.wanted.type].delete(
                self._context(name, self.stack.tags), resource.made, resource.properties
            )
        except Exception as error:  # whatever it is, it is the reason of the event
            say(resource, "DELETE_FAILED", reason_of(error, name))
            return False
        say(resource, "DELETE_COMPLETE")
        return True

    # --- several resources

    def _delete_all(self, verb: str, *, creating: bool = False, force: bool = False) -> None:
        resources = dict(self.stack.resources)

        def act(name: str) -> bool:
            resource = resources[name]
            policy = resource.wanted.deletion_policy
            if policy == "RetainExceptOnCreate" or (
                creating and policy == "Retain" and self.stack.retain_except_on_create
            ):
                policy = "Delete" if creating else "Retain"
            if name in self._kept:
                policy = "Retain"
            return self._delete(resource, policy, keep=False)

        graph = backwards({name: resource.before for name, resource in resources.items()})
        failed = walk(graph, act, go_on=True)
        if failed and not force:
            names = ", ".join(sorted(failed))
            self._become(f"{verb}_FAILED", f"The following resource(s) failed to delete: [{names}]. ")
            return
        with self.stack.lock:
            self.stack.deleted = now() if verb == "DELETE" else None
            self.stack.outputs, self.stack.imports = [], set()
            if verb == "DELETE":
                self.stack.change_sets.clear()
        self._become(f"{verb}_COMPLETE")

    def _clean_up(self, resources: Mapping[str, Resource], policy: Callable[[str, Resource], str]) -> bool:
        """Deletes resources that a stack has no more; whether all are gone."""

        def act(name: str) -> bool:
            wanted = policy(name, resources[name])
            wanted = "Retain" if wanted == "RetainExceptOnCreate" else wanted
            return self._delete(resources[name], wanted, keep=True)

        graph = backwards({name: resource.before for name, resource in resources.items()})
        return not walk(graph, act, go_on=True)

    def _policy_of_new(self, name: str, resource: Resource) -> str:
        """What to do with a resource that an update made and that is not wanted after all."""
        policy = resource.wanted.deletion_policy
        if name in self._replaced or policy == "RetainExceptOnCreate" or self.stack.retain_except_on_create:
            return "Delete"
        return policy

    # --- what all of it needs

    def _commit(self, desired: Desired, outputs: list[Output]) -> None:
        with self.stack.lock:
            self.stack.document, self.stack.texts, self.stack.tags = desired.document, desired.texts, dict(self.tags)
            self.stack.outputs, self.stack.imports = outputs, desired.imports
            self.stack.revision += 1

    def _check_exports(self, outputs: list[Output]) -> None:
        with self.stacks.lock:
            new = {output.export: output.value for output in outputs if output.export is not None}
            for other, output in self.stacks.exports():
                if other is not self.stack and output.export in new:
                    raise TemplateError(f"Export with name {output.export} is already exported by stack {other.name}.")
                if other is self.stack and new.get(str(output.export)) != output.value:
                    users = [name for name in self.stacks.importers(str(output.export)) if name != self.stack.name]
                    if users:
                        verb = "update" if output.export in new else "delete"
                        raise TemplateError(
                            f"Cannot {verb} export {output.export} as it is in use by {', '.join(users)}"
                        )

    def _ref(self, name: str) -> Any:
        made = self.stack.resources[name].made if name in self.stack.resources else None
        if made is None:
            raise TemplateError(f"Template error: resource {name} is not there to be referred to")
        return made.physical_id if made.ref is None else made.ref

    def _att(self, name: str, attribute: str) -> Any:
        made = self.stack.resources[name].made if name in self.stack.resources else None
        if made is None or attribute not in made.attributes:
            raise TemplateError(
                f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
                + (" (the embedded AWS does not tell it)" if made else "")
            )
        return made.attributes[attribute]

    def _must_stop(self) -> bool:
        if self._deadline is not None and time.monotonic() > self._deadline:
            self._failures.setdefault("", "Stack creation time exceeded the specified timeout.")
        return self.stack.stopping.is_set() or bool(self._failures)

    def _failure(self) -> str:
        if "" in self._failures:
            return self._failures[""]
        if not self._failures:
            return INITIATED
        verbs = sorted(set(self._failures.values()))
        parts = [
            f"The following resource(s) failed to {verb}: "
            f"[{', '.join(sorted(n for n, v in self._failures.items() if v == verb))}]."
            for verb in verbs
        ]
        return " ".join(parts)

    def _fail(self, resource: Resource, verb: str, error: Exception) -> bool:
        name = resource.wanted.logical_id
        self._failures[name] = "create" if verb == "CREATE" else "update"
        self._say(resource, f"{verb}_FAILED", reason_of(error, name))
        return False

    def _keep(self, resource: Resource) -> None:
        with self.stack.lock:
            self.stack.resources[resource.wanted.logical_id] = resource

    def _say(self, resource: Resource, status: str, reason: str | None = None) -> None:
        """Says what happens to a resource, and makes it the one that the stack lists."""
        self._keep(replace(resource, status=status, reason=reason, updated=now()))
        self._event(resource, status, reason)

    def _event(self, resource: Resource, status: str, reason: str | None = None) -> None:
        wanted = resource.wanted
        properties = json.dumps(resource.properties, default=str)
        self.stack.say(wanted.logical_id, wanted.type, resource.physical_id, status, reason, properties=properties)

    def _become(self, status: str, reason: str | None = None) -> None:
        self.stack.become(status, reason)  # first: whoever hears of it looks at once
        place = self.stack.place
        details = {"status": status, "status-reason": reason or ""}
        self.ground.emit(
            Event(
                place.account,
                place.region,
                "aws.cloudformation",
                "CloudFormation Stack Status Change",
                {"stack-id": place.stack_id, "status-details": details, "client-request-token": self.stack.token or ""},
                (place.stack_id,),
            )
        )

    def _context(self, name: str, tags: Mapping[str, str]) -> Context:
        place = self.stack.place
        own = {"aws:cloudformation:stack-name": place.stack_name, "aws:cloudformation:stack-id": place.stack_id}
        return Context(
            client=lambda service: self.ground.client(service, self.actor, place.region),
            account=place.account,
            region=place.region,
            partition=place.partition,
            stack_name=place.stack_name,
            stack_id=place.stack_id,
            logical_id=name,
            tags={**tags, **own, "aws:cloudformation:logical-id": name},
        )
