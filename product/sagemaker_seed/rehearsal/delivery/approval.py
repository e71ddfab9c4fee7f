"""Manual approval: tells a topic, and waits for somebody's answer. Who may answer is not looked at here."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from .execution import now
from .failure import ActionFailed
from .job import Job, Outcome


def manual(job: Job) -> Outcome:
    """Waits for an answer, a week unless the action says otherwise."""
    question = job.questions.ask()
    try:
        if "NotificationArn" in job.configuration:
            _notify(job, question.token)
        job.note(token=question.token)
        job.wait(lambda: question.answered)
    finally:
        job.questions.close(question)
        job.note(token="")
    job.note(updated_by=question.by, summary=question.summary)
    if question.status == "Rejected":
        raise ActionFailed(f"Rejected by {question.by}" + (f": {question.summary}" if question.summary else "."))
    return Outcome(summary=question.summary)


def _notify(job: Job, token: str) -> None:
    """Publishes the question as CodePipeline words it."""
    stage, action = job.run.stage, job.run.name
    link = f"{job.host}/codesuite/codepipeline/pipelines/{job.pipeline}/view?region={job.region}"
    question: dict[str, Any] = {
        "pipelineName": job.pipeline,
        "stageName": stage,
        "actionName": action,
        "token": token,
        "expires": (now() + timedelta(seconds=job.timeout)).strftime("%Y-%m-%dT%H:%MZ"),
        "externalEntityLink": job.configuration.get("ExternalEntityLink"),
        "approvalReviewLink": f"{link}#/{stage}/{action}/approve/{token}",
        "customData": job.configuration.get("CustomData"),
    }
    job.client("sns").publish(
        TopicArn=job.configuration["NotificationArn"],
        Subject=f"APPROVAL NEEDED: AWS CodePipeline {job.pipeline} for action {action}"[:100],
        Message=json.dumps({"region": job.region, "consoleLink": link, "approval": question}),
    )
