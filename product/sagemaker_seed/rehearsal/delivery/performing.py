"""Performs one attempt of an action: who acts, with which artifacts and variables, and what is known at its end."""

from __future__ import annotations

import threading
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..ground import Actor, Ground
from ..wire import AwsError
from . import variables
from .action_types import TYPES, key_of
from .artifacts import Store
from .execution import FAILED, SUCCEEDED, ActionRun, Execution
from .failure import INTERNAL, PERMISSION, ActionAbandoned, ActionFailed, of_call
from .job import Job, Outcome
from .line import Line

PRINCIPAL = "codepipeline.amazonaws.com"


@dataclass
class Performer:
    """Performs the actions of one account's pipelines in one region."""

    ground: Ground
    account: str
    region: str
    partition: str
    _actors: dict[str, Actor] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, line: Line, execution: Execution, action: dict[str, Any]) -> ActionRun:
        """Begins an attempt, in a thread of its own; what is known of it goes into the answer as it comes."""
        run = ActionRun(execution.id, execution.version, action["stage"], action, action.get("roleArn"))
        threading.Thread(
            target=self._perform, args=(line, execution, run, execution.over), daemon=True, name=f"action-{run.name}"
        ).start()
        return run

    def _perform(self, line: Line, execution: Execution, run: ActionRun, over: threading.Event) -> None:
        try:
            outcome = self._outcome(line, execution, run, over)
            keep = partial(_keep, execution, run, outcome)
        except ActionAbandoned:
            return
        except ActionFailed as failure:
            keep = partial(_fail, run, failure)
        except ClientError as error:
            keep = partial(_fail, run, of_call(error))
        except AwsError as error:  # the role cannot be assumed
            keep = partial(_fail, run, ActionFailed(error.message, PERMISSION))
        except (BotoCoreError, OSError) as error:
            keep = partial(_fail, run, ActionFailed(f"{type(error).__name__}: {error}"))
        except Exception as error:  # the last resort: a thread that dies would leave its execution running for ever
            traceback.print_exc()
            broken = f"The embedded AWS failed: {type(error).__name__}: {error}"
            keep = partial(_fail, run, ActionFailed(broken, INTERNAL))
        line.ended(execution, run, keep)

    def _outcome(self, line: Line, execution: Execution, run: ActionRun, over: threading.Event) -> Outcome:
        declared, declaration = run.declared, execution.declared
        known = {
            **execution.namespaces,
            variables.PIPELINE: execution.values,
            variables.EXECUTION: {"PipelineExecutionId": execution.id},
        }
        run.resolved = variables.resolve(declared["configuration"], known, run.name)
        run.inputs = [execution.artifacts[artifact["name"]] for artifact in declared["inputArtifacts"]]
        owner = self._owner(declaration["roleArn"], execution, line.arn)
        kind = TYPES[key_of(declared["actionTypeId"])]
        job = Job(
            ground=self.ground,
            actor=self._actor(owner, run, execution),
            owner=owner,
            account=self.account,
            region=self.region,
            partition=self.partition,
            pipeline=line.name,
            run=run,
            store=_store(declaration, self.region),
            inputs=tuple(run.inputs),
            override=execution.overrides.get(run.name, {}),
            timeout=60.0 * (declared.get("timeoutInMinutes") or kind.timeout),
            over=over,
            questions=line.questions,
        )
        return kind.run(job)

    def _owner(self, role: str, execution: Execution, pipeline: str) -> Actor:
        """The pipeline's role; assumed for each action, because its trust may have changed."""
        return self._known(role, self.ground.role(role, PRINCIPAL, _session(execution), pipeline))

    def _actor(self, owner: Actor, run: ActionRun, execution: Execution) -> Actor:
        """Whoever acts: the role of the action, which the pipeline's role assumes, or the pipeline's role."""
        if run.role is None:
            return owner
        assumed = self.ground.role_of(owner, run.role, self.region, _session(execution))
        return self._known(f"{owner.arn} {run.role}", assumed)

    def _known(self, who: str, actor: Actor) -> Actor:
        """The first session of somebody in place of another one: a client is kept for each session, and is large."""
        with self._lock:
            return self._actors.setdefault(who, actor)


def _session(execution: Execution) -> str:
    """The name of a role's session: a time, as CodePipeline has it."""
    return str(int(execution.started.timestamp() * 1000))


def _store(declared: dict[str, Any], region: str) -> Store:
    given = declared.get("artifactStore") or declared["artifactStores"][region]
    return Store(given["location"], declared["name"], (given.get("encryptionKey") or {}).get("id"))


def _keep(execution: Execution, run: ActionRun, outcome: Outcome) -> str:
    """What later actions may use, and what answers tell."""
    run.variables, run.outputs, run.summary = dict(outcome.variables), list(outcome.outputs), outcome.summary[:2048]
    execution.artifacts |= {artifact.name: artifact for artifact in outcome.outputs}
    if (space := run.declared.get("namespace")) is not None:
        execution.namespaces[space] = run.variables
    if outcome.revision is not None:
        run.revision = execution.revisions[run.name] = outcome.revision
    return SUCCEEDED


def _fail(run: ActionRun, failure: ActionFailed) -> str:
    run.error = {"code": failure.code, "message": failure.message or "The action failed without saying why."}
    return FAILED
