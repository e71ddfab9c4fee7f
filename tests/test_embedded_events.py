"""EventBridge in the embedded AWS: what matches, what a target is given, who is called as whom, and what fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal.embedded import Delivery, EmbeddedAws

REGION = "eu-west-1"
MINE, OTHER = "111111111111", "222222222222"
PIPELINE = f"arn:aws:codepipeline:{REGION}:{MINE}:deploy"


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(region=REGION) as running:
        yield running


@pytest.fixture(scope="module")
def events(aws: EmbeddedAws) -> Any:
    # Botocore takes LimitExceededException for throttling, and would try again.
    return aws.client("events", config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture(scope="module")
def role(aws: EmbeddedAws) -> str:
    """ARN of a role that EventBridge may assume."""
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = aws.client("iam").create_role(RoleName="events", Path="/service-role/", AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refusal:
        call()
    return refusal.value.response["Error"]["Code"], refusal.value.response["Error"]["Message"]


# --- patterns

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "1",
    "detail-type": "SageMaker Model Package State Change",
    "source": "aws.sagemaker",
    "account": MINE,
    "time": "2026-01-01T00:00:00Z",
    "region": REGION,
    "resources": [f"arn:aws:sagemaker:{REGION}:{MINE}:model-package/g/1"],
    "detail": {
        "ModelPackageGroupName": "iris-p-1",
        "ModelPackageVersion": 3,
        "ModelApprovalStatus": "Approved",
        "CertifyForMarketplace": False,
        "Nothing": None,
        "Empty": {},
        "Address": "10.0.0.7",
        "Tags": [{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "b"}],
        "Sizes": [1, 2.5],
    },
}
MATCHES: dict[str, dict[str, Any]] = {
    "equal": {"source": ["aws.sagemaker"]},
    "one of several": {"detail": {"ModelApprovalStatus": ["Rejected", "Approved"]}},
    "anything but": {"detail": {"ModelApprovalStatus": [{"anything-but": ["PendingManualApproval"]}]}},
    "anything but a prefix": {"detail": {"ModelPackageGroupName": [{"anything-but": {"prefix": "wine-"}}]}},
    "prefix": {"detail": {"ModelPackageGroupName": [{"prefix": "iris-"}]}},
    "suffix": {"detail": {"ModelPackageGroupName": [{"suffix": "-1"}]}},
    "prefix without case": {"source": [{"prefix": {"equals-ignore-case": "AWS."}}]},
    "without case": {"detail": {"ModelApprovalStatus": [{"equals-ignore-case": "approved"}]}},
    "wildcard": {"resources": [{"wildcard": "arn:aws:sagemaker:*:model-package/g/*"}]},
    "numeric": {"detail": {"ModelPackageVersion": [{"numeric": [">", 2, "<=", 3]}]}},
    "a number": {"detail": {"ModelPackageVersion": [3.0]}},
    "false": {"detail": {"CertifyForMarketplace": [False]}},
    "null": {"detail": {"Nothing": [None]}},
    "there": {"detail": {"ModelApprovalStatus": [{"exists": True}]}},
    "not there": {"detail": {"ApprovalDescription": [{"exists": False}]}},
    "not there, deeper": {"detail": {"None": {"Of": {"These": [{"exists": False}]}}}},
    "network": {"detail": {"Address": [{"cidr": "10.0.0.0/24"}]}},
    "in an array": {"detail": {"Sizes": [2.5]}},
    "in an array of objects": {"detail": {"Tags": {"Key": ["stage"]}}},
    "both in one object of an array": {"detail": {"Tags": {"Key": ["stage"], "Value": ["b"]}}},
    "one or the other": {"$or": [{"source": ["mine"]}, {"detail": {"ModelPackageVersion": [3]}}]},
    "all of it": {"source": ["aws.sagemaker"], "detail": {"ModelPackageVersion": [3], "Nothing": [None]}},
}
DIFFERS: dict[str, dict[str, Any]] = {
    "another source": {"source": ["aws.codecommit"]},
    "case": {"source": ["AWS.sagemaker"]},
    "excepted": {"detail": {"ModelApprovalStatus": [{"anything-but": ["Approved"]}]}},
    "text for a number": {"detail": {"ModelPackageVersion": ["3"]}},
    "zero for false": {"detail": {"CertifyForMarketplace": [0]}},
    "a number out of range": {"detail": {"ModelPackageVersion": [{"numeric": [">", 3]}]}},
    "there, but must not": {"detail": {"ModelApprovalStatus": [{"exists": False}]}},
    "not there, but must": {"detail": {"ApprovalDescription": [{"exists": True}]}},
    "an object is no value": {"detail": {"Tags": [{"exists": True}]}},
    "in two objects of an array": {"detail": {"Tags": {"Key": ["stage"], "Value": ["a"]}}},
    "one of two keys": {"source": ["aws.sagemaker"], "region": ["us-east-1"]},
    "neither": {"$or": [{"source": ["mine"]}, {"source": ["yours"]}]},
    "another network": {"detail": {"Address": [{"cidr": "10.0.1.0/24"}]}},
}


@pytest.mark.parametrize("expected", [True, False])
def test_patterns_match_as_documented(events: Any, expected: bool) -> None:
    cases = MATCHES if expected else DIFFERS
    answers = {
        name: events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(EVENT))["Result"]
        for name, pattern in cases.items()
    }
    assert answers == dict.fromkeys(cases, expected)


BAD_PATTERNS = {
    "{": "Invalid JSON",
    "[]": "not an object",
    "{}": "Empty objects are not allowed",
    '{"source": "aws.x"}': "must be an object or an array",
    '{"source": []}': "Empty arrays are not allowed",
    '{"detail": {"a": {}}}': "Empty objects are not allowed",
    '{"source": [{"begins-with": "aws"}]}': "Unrecognized match type begins-with",
    '{"source": [{"prefix": "a", "suffix": "b"}]}': "Only one key",
    '{"detail": {"a": [{"numeric": ["~", 1]}]}}': "numeric",
    '{"detail": {"a": [{"exists": "yes"}]}}': "exists",
    '{"detail": {"a": [{"anything-but": []}]}}': "anything-but",
    '{"detail": {"a": [["b"]]}}': "Match value",
}


@pytest.mark.parametrize("pattern", BAD_PATTERNS)
def test_patterns_that_no_rule_can_have(events: Any, pattern: str) -> None:
    code, message = error_of(lambda: events.put_rule(Name="bad", EventPattern=pattern))
    assert code == "InvalidEventPatternException"
    assert message.startswith("Event pattern is not valid. Reason: ")
    assert BAD_PATTERNS[pattern] in message
    assert error_of(lambda: events.test_event_pattern(EventPattern=pattern, Event="{}"))[0] == code
    assert error_of(lambda: events.describe_rule(Name="bad"))[0] == "ResourceNotFoundException"


def test_only_an_event_can_be_tested(events: Any) -> None:
    pattern = '{"source": ["a"]}'
    for text in ("{", "[]", json.dumps({k: v for k, v in EVENT.items() if k != "region"})):
        assert error_of(lambda t=text: events.test_event_pattern(EventPattern=pattern, Event=t))[0] == (  # type: ignore[misc]
            "ValidationException"
        )


# --- delivery


class Queue:
    """A queue that EventBridge may write to, unless told otherwise."""

    def __init__(self, aws: EmbeddedAws, name: str, *, principal: str = "events.amazonaws.com", **more: Any) -> None:
        self.client = aws.client("sqs")
        self.url = self.client.create_queue(QueueName=name)["QueueUrl"]
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = attributes["Attributes"]["QueueArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": principal},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            **more,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self.client.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": document})

    def take(self, count: int) -> list[str]:
        """So many messages, oldest first; fails if there are more or fewer."""
        taken: list[str] = []
        deadline = time.monotonic() + 10
        while len(taken) < count and time.monotonic() < deadline:
            for message in self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
                taken.append(message["Body"])
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        assert len(taken) == count, taken
        return taken


def sent(events: Any, source: str, detail: dict[str, Any], **more: Any) -> str:
    entry = {"Source": source, "DetailType": "test", "Detail": json.dumps(detail), **more}
    answer = events.put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0, answer
    return str(answer["Entries"][0]["EventId"])


def rule(events: Any, name: str, *targets: dict[str, Any], **more: Any) -> None:
    """A rule for the events of the source of its name."""
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}), **more)
    events.put_targets(Rule=name, Targets=list(targets))


def delivered(aws: EmbeddedAws, event: str, count: int = 1) -> list[Delivery]:
    """The deliveries of one event, once there are so many."""
    deadline = time.monotonic() + 10
    while True:
        found = [delivery for delivery in aws.deliveries() if delivery.event == event]
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count, found
            return found
        time.sleep(0.02)


def test_a_target_gets_the_whole_event(aws: EmbeddedAws, events: Any) -> None:
    queue = Queue(aws, "whole")
    rule(events, "whole", {"Id": "queue", "Arn": queue.arn})
    event = sent(events, "whole", {"a": [1, {"b": None}]}, Resources=["arn:aws:s3:::b"])
    (text,) = queue.take(1)
    received = json.loads(text)
    assert received.pop("time").endswith("Z")
    assert received == {
        "version": "0",
        "id": event,
        "detail-type": "test",
        "source": "whole",
        "account": MINE,
        "region": REGION,
        "resources": ["arn:aws:s3:::b"],
        "detail": {"a": [1, {"b": None}]},
    }
    (delivery,) = delivered(aws, event)
    assert (delivery.rule, delivery.target, delivery.status, delivery.reason) == ("whole", queue.arn, "delivered", "")
    assert (delivery.account, delivery.region, delivery.input) == (MINE, REGION, text)


APPROVED = "$.detail.ModelPackageArn"
TRANSFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "a constant": ({"Input": '{"a": 1}'}, '{"a": 1}'),
    "a part": ({"InputPath": "$.detail.list[1]"}, '{"b": "c"}'),
    "a variable, as our product has it": (
        {
            "InputTransformer": {
                "InputPathsMap": {"approved": APPROVED},
                "InputTemplate": '{"variables": [{"name": "ModelPackageArn", "value": "<approved>"}]}',
            }
        },
        '{"variables": [{"name": "ModelPackageArn", "value": "arn:x"}]}',
    ),
    "values outside quotation marks": (
        {
            "InputTransformer": {
                "InputPathsMap": {"text": APPROVED, "number": "$.detail.number", "all": "$.detail.list"},
                "InputTemplate": '{"text": <text>, "number": <number>, "all": <all>}',
            }
        },
        '{"text": "arn:x", "number": 7, "all": [1, {"b": "c"}]}',
    ),
    "quotation marks in a string": (
        {
            "InputTransformer": {
                "InputPathsMap": {"a": "$.detail.quoted"},
                "InputTemplate": '{"a": "it says \\"<a>\\"", "b": <a>}',
            }
        },
        '{"a": "it says \\"\\"hi\\"\\"", "b": "\\"hi\\""}',
    ),
    "a sentence": (
        {"InputTransformer": {"InputPathsMap": {"a": "$.detail.number"}, "InputTemplate": '"there are <a>"'}},
        "there are 7",
    ),
    "a number of its own": ({"InputTransformer": {"InputTemplate": '{"n": 1}'}}, '{"n": 1}'),
    "the rule": ({"InputTransformer": {"InputTemplate": '{"rule": <aws.events.rule-name>}'}}, '{"rule": "NAME"}'),
    "what is missing, in a string": (
        {"InputTransformer": {"InputPathsMap": {"a": "$.detail.nope"}, "InputTemplate": '{"a": "<a>"}'}},
        '{"a": ""}',
    ),
}


@pytest.mark.parametrize("what", TRANSFORMED)
def test_what_a_target_is_given(aws: EmbeddedAws, events: Any, what: str) -> None:
    name = what.replace(" ", "-").replace(",", "")
    given, expected = TRANSFORMED[what]
    queue = Queue(aws, name)
    rule(events, name, {"Id": "queue", "Arn": queue.arn, **given})
    detail = {"ModelPackageArn": "arn:x", "number": 7, "list": [1, {"b": "c"}], "quoted": '"hi"'}
    sent(events, name, detail)
    assert queue.take(1) == [expected.replace("NAME", name)]


def test_an_input_that_cannot_be_made_is_a_failed_delivery(aws: EmbeddedAws, events: Any) -> None:
    queue = Queue(aws, "unmade")
    transformer = {"InputPathsMap": {"a": "$.detail.nope"}, "InputTemplate": '{"a": <a>}'}
    targets = [
        {"Id": "path", "Arn": queue.arn, "InputPath": "$.detail.nope"},
        {"Id": "template", "Arn": queue.arn, "InputTransformer": transformer},
        {"Id": "good", "Arn": queue.arn, "Input": "1"},
    ]
    rule(events, "unmade", *targets)
    found = delivered(aws, sent(events, "unmade", {}), 3)
    assert [delivery.status for delivery in found] == ["failed", "failed", "delivered"]
    assert "$.detail.nope" in found[0].reason
    assert '{"a": }' in found[1].reason
    assert queue.take(1) == ["1"]


def test_rules_that_do_not_act(aws: EmbeddedAws, events: Any) -> None:
    queue = Queue(aws, "idle")
    rule(events, "idle", {"Id": "queue", "Arn": queue.arn, "InputPath": "$.detail.n"}, State="DISABLED")
    sent(events, "idle", {"n": 1})
    events.enable_rule(Name="idle")
    sent(events, "idle", {"n": 2})
    delivered(aws, sent(events, "idle", {"n": 3}))
    events.disable_rule(Name="idle")
    sent(events, "idle", {"n": 4})
    sent(aws.client("events", OTHER), "idle", {"n": 5})
    sent(aws.client("events", MINE, "us-east-1"), "idle", {"n": 6})
    events.enable_rule(Name="idle")
    events.remove_targets(Rule="idle", Ids=["queue"])
    sent(events, "idle", {"n": 7})
    events.put_targets(Rule="idle", Targets=[{"Id": "queue", "Arn": queue.arn, "InputPath": "$.detail.n"}])
    delivered(aws, sent(events, "idle", {"n": 8}))
    assert queue.take(3) == ["2", "3", "8"]


def test_events_of_another_bus_stay_there(aws: EmbeddedAws, events: Any) -> None:
    queue = Queue(aws, "bus")
    events.create_event_bus(Name="own")
    events.put_rule(Name="bus", EventBusName="own", EventPattern='{"source": ["bus"]}')
    target = {"Id": "queue", "Arn": queue.arn, "InputPath": "$.detail"}
    events.put_targets(Rule="bus", EventBusName="own", Targets=[target])
    sent(events, "bus", {"on": "default"})
    delivered(aws, sent(events, "bus", {"on": "own"}, EventBusName="own"))
    assert queue.take(1) == ['{"on": "own"}']
    assert error_of(lambda: sent(events, "bus", {}, EventBusName="nope"))[0] == "ResourceNotFoundException"


def test_entries_that_are_no_events(events: Any) -> None:
    good = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    bad = [
        {**good, "Source": ""},
        {**good, "DetailType": ""},
        {**good, "Detail": "{"},
        {**good, "Detail": "[1]"},
        {**good, "Source": "aws.sagemaker"},
    ]
    answer = events.put_events(Entries=[*bad, good])
    assert answer["FailedEntryCount"] == 5
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        "InvalidArgument",
        "InvalidArgument",
        "MalformedDetail",
        "MalformedDetail",
        "NotAuthorizedForSourceException",
        None,
    ]
    large = {**good, "Detail": json.dumps({"a": "x" * 256 * 1024})}
    assert error_of(lambda: events.put_events(Entries=[large]))[0] == "ValidationException"
    assert error_of(lambda: events.put_events(Entries=[good] * 11))[0] == "ValidationException"


# --- targets


def test_a_topic_that_lets_eventbridge_in(aws: EmbeddedAws, events: Any) -> None:
    topics, queue = aws.client("sns"), Queue(aws, "of-topic", principal="sns.amazonaws.com")
    arn = topics.create_topic(Name="told")["TopicArn"]
    topics.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue.arn, Attributes={"RawMessageDelivery": "true"})
    rule(events, "told", {"Id": "topic", "Arn": arn, "Input": '"approved"'})
    (refused,) = delivered(aws, sent(events, "told", {}))
    assert refused.status == "failed", "a new topic's policy lets in its owner alone"
    assert "does not let events.amazonaws.com do sns:Publish" in refused.reason
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    topics.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    (allowed,) = delivered(aws, sent(events, "told", {}))
    assert (allowed.status, queue.take(1)) == ("delivered", ['"approved"'])


def test_a_queue_is_written_to_as_its_policy_says(aws: EmbeddedAws, events: Any) -> None:
    mine = f"arn:aws:events:{REGION}:{MINE}:rule/policy"
    closed = Queue(aws, "closed", principal="sns.amazonaws.com")
    for_this_rule = Queue(aws, "ours", Condition={"ArnEquals": {"aws:SourceArn": mine}})
    for_another = Queue(aws, "theirs", Condition={"ArnEquals": {"aws:SourceArn": mine + "2"}})
    targets = [{"Id": q.arn.rpartition(":")[2], "Arn": q.arn} for q in (closed, for_this_rule, for_another)]
    missing = {"Id": "missing", "Arn": for_this_rule.arn + "x"}
    rule(events, "policy", *targets, missing)
    found = delivered(aws, sent(events, "policy", {}), 4)
    assert [delivery.status for delivery in found] == ["failed", "delivered", "failed", "failed"]
    assert "does not let" in found[0].reason
    assert "does not exist" in found[3].reason


def test_a_pipeline_that_does_not_start_is_a_failed_delivery_that_says_why(
    aws: EmbeddedAws, events: Any, role: str
) -> None:
    rule(events, "failing", {"Id": "pipeline", "Arn": PIPELINE, "RoleArn": role})
    (failed,) = delivered(aws, sent(events, "failing", {}))
    assert failed.status == "failed"
    assert "StartPipelineExecution" in failed.reason
    call = [call for call in aws.calls() if call.operation == "StartPipelineExecution"][-1]
    assert (call.service, call.account, call.status) == ("codepipeline", MINE, 400)


def test_a_pipeline_takes_what_it_is_started_with_and_nothing_else(aws: EmbeddedAws, events: Any, role: str) -> None:
    target = {"Id": "pipeline", "Arn": PIPELINE, "RoleArn": role}
    rule(events, "misspelt", {**target, "Input": '{"variable": []}'}, {**target, "Id": "text", "Input": '"text"'})
    misspelt, text = delivered(aws, sent(events, "misspelt", {}), 2)
    assert 'Unknown parameter in input: "variable"' in misspelt.reason
    assert "not a JSON object" in text.reason


@pytest.mark.slow
def test_a_training_pipeline_is_started_with_values_of_the_event(aws: EmbeddedAws, events: Any, role: str) -> None:
    sagemaker = aws.client("sagemaker")
    steps = [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": {"Get": "Parameters.Why"}}}]
    definition = {"Version": "2020-12-01", "Parameters": [{"Name": "Why", "Type": "String"}], "Steps": steps}
    arn = sagemaker.create_pipeline(
        PipelineName="train", PipelineDefinition=json.dumps(definition), ClientRequestToken="t" * 32, RoleArn=role
    )["PipelineArn"]
    parameters = {"PipelineParameterList": [{"Name": "Why", "Value": "$.detail.why"}]}
    rule(
        events,
        "training",
        {"Id": "pipeline", "Arn": arn, "RoleArn": role, "SageMakerPipelineParameters": parameters},
    )
    (started,) = delivered(aws, sent(events, "training", {"why": "because"}))
    assert started.reason == ""
    (execution,) = sagemaker.list_pipeline_executions(PipelineName="train")["PipelineExecutionSummaries"]
    listed = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution["PipelineExecutionArn"])
    assert listed["PipelineParameters"] == [{"Name": "Why", "Value": "because"}]
    (missing,) = delivered(aws, sent(events, "training", {}))
    assert (missing.status, missing.reason) == ("failed", "The event has nothing at $.detail.why")


def test_a_role_that_is_gone_fails_the_delivery(aws: EmbeddedAws, events: Any) -> None:
    iam = aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName="short-lived", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    rule(events, "gone", {"Id": "pipeline", "Arn": PIPELINE, "RoleArn": arn})
    iam.delete_role(RoleName="short-lived")
    (failed,) = delivered(aws, sent(events, "gone", {}))
    assert failed.reason.startswith("AccessDenied: ")
    assert "short-lived" in failed.reason


QUEUE = f"arn:aws:sqs:{REGION}:{MINE}:q"
BAD_TARGETS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "no ARN": ("ValidationException", "not in correct format", {"Arn": "pipeline"}),
    "no role": ("ValidationException", f"RoleArn is required for target {PIPELINE}.", {"Arn": PIPELINE}),
    "a missing role": (
        "ValidationException",
        "cannot be assumed by principal 'events.amazonaws.com'",
        {"Arn": PIPELINE, "RoleArn": f"arn:aws:iam::{MINE}:role/nope"},
    ),
    "two inputs": ("ValidationException", "Only one of Input", {"Arn": QUEUE, "Input": "1", "InputPath": "$.a"}),
    "an input that is no JSON": ("ValidationException", "JSON syntax error in input", {"Arn": QUEUE, "Input": "{"}),
    "a path that is none": ("ValidationException", "Invalid JSONPath", {"Arn": QUEUE, "InputPath": "$.a[*]"}),
    "an unknown placeholder": (
        "ValidationException",
        "invalid placeholder b",
        {"Arn": QUEUE, "InputTransformer": {"InputPathsMap": {"a": "$.a"}, "InputTemplate": '{"a": <b>}'}},
    ),
    "a template that is no JSON": (
        "ValidationException",
        "Invalid InputTemplate",
        {"Arn": QUEUE, "InputTransformer": {"InputPathsMap": {"a": "$.a"}, "InputTemplate": '{"a": <a>'}},
    ),
    "a reserved name": (
        "ValidationException",
        "inputPathsMap.key",
        {"Arn": QUEUE, "InputTransformer": {"InputPathsMap": {"aws.x": "$.a"}, "InputTemplate": '"x"'}},
    ),
    "a queue with an order": ("ValidationException", "SqsParameters", {"Arn": QUEUE + ".fifo"}),
    "a function": (
        "NotImplementedByEmbeddedAws",
        "lambda",
        {"Arn": f"arn:aws:lambda:{REGION}:{MINE}:function:f"},
    ),
    "another bus": (
        "ValidationException",
        "RoleArn is required",
        {"Arn": f"arn:aws:events:{REGION}:{MINE}:event-bus/b"},
    ),
    "a queue for what fails": (
        "NotImplementedByEmbeddedAws",
        "DeadLetterConfig",
        {"Arn": QUEUE, "DeadLetterConfig": {"Arn": QUEUE}},
    ),
}


@pytest.mark.parametrize("what", BAD_TARGETS)
def test_targets_that_no_rule_can_have(events: Any, what: str) -> None:
    events.put_rule(Name="bad-targets", EventPattern='{"source": ["x"]}')
    code, message, target = BAD_TARGETS[what]
    found = error_of(lambda: events.put_targets(Rule="bad-targets", Targets=[{"Id": "it", **target}]))
    assert found[0] == code
    assert message in found[1]
    assert events.list_targets_by_rule(Rule="bad-targets")["Targets"] == []


def test_a_rule_has_five_targets_at_most(events: Any) -> None:
    targets = [{"Id": str(number), "Arn": QUEUE} for number in range(6)]
    events.put_rule(Name="many", EventPattern='{"source": ["x"]}')
    events.put_targets(Rule="many", Targets=targets[:5])
    events.put_targets(Rule="many", Targets=targets[:1])
    assert error_of(lambda: events.put_targets(Rule="many", Targets=targets[5:]))[0] == "LimitExceededException"
    missing = error_of(lambda: events.put_targets(Rule="no-such-rule", Targets=targets[:1]))
    assert missing[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("method", "parameters", "named"),
    [
        ("create_archive", {"ArchiveName": "a", "EventSourceArn": "b"}, "CreateArchive"),
        (
            "put_events",
            {
                "Entries": [
                    {
                        "Source": "s",
                        "DetailType": "d",
                        "Detail": "{}",
                        "EventBusName": f"arn:aws:events:{REGION}:{OTHER}:event-bus/default",
                    }
                ]
            },
            OTHER,
        ),
    ],
)
def test_what_would_never_act_is_refused_by_name(
    events: Any, method: str, parameters: dict[str, Any], named: str
) -> None:
    code, message = error_of(lambda: getattr(events, method)(**parameters))
    assert code == "NotImplementedByEmbeddedAws"
    assert named in message


def test_names_that_no_rule_can_have(events: Any) -> None:
    for name in ("with space", "x" * 65):
        code, message = error_of(lambda n=name: events.put_rule(Name=n, EventPattern='{"source": ["x"]}'))  # type: ignore[misc]
        assert code == "ValidationException"
        assert "'name' failed to satisfy constraint" in message


# --- the model registry


def test_a_registration_and_each_decision_on_it_are_events(aws: EmbeddedAws, events: Any) -> None:
    sagemaker, queue = aws.client("sagemaker"), Queue(aws, "registry")
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": ["iris-p-1"]},
    }
    events.put_rule(Name="registry", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="registry", Targets=[{"Id": "queue", "Arn": queue.arn}])
    for group in ("iris-p-1", "another"):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    inference = {
        "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    sagemaker.create_model_package(ModelPackageGroupName="another", InferenceSpecification=inference)
    arn = sagemaker.create_model_package(ModelPackageGroupName="iris-p-1", InferenceSpecification=inference)[
        "ModelPackageArn"
    ]
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"a": "b"})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    received = [json.loads(text) for text in queue.take(3)]
    assert [e["detail"]["ModelApprovalStatus"] for e in received] == ["PendingManualApproval", "Approved", "Rejected"]
    approved = received[1]
    assert approved["resources"] == [arn]
    detail = approved["detail"]
    assert (detail["ModelPackageArn"], detail["ModelPackageVersion"]) == (arn, 1)
    assert (detail["ModelPackageStatus"], detail["CertifyForMarketplace"]) == ("Completed", False)
    assert (detail["ApprovalDescription"], detail["CustomerMetadataProperties"]) == ("good", {"a": "b"})
    assert detail["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == "s3://bucket/model.tar.gz"
    assert detail["CreationTime"].endswith("Z")


# --- S3


def test_objects_of_a_bucket_that_tells_of_them_are_events(aws: EmbeddedAws, events: Any) -> None:
    storage, queue = aws.client("s3"), Queue(aws, "objects")
    for bucket in ("quiet", "telling"):
        storage.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    configuration: dict[str, Any] = {"EventBridgeConfiguration": {}}
    storage.put_bucket_notification_configuration(Bucket="telling", NotificationConfiguration=configuration)
    pattern = {"source": ["aws.s3"], "detail": {"object": {"key": [{"suffix": ".zip"}]}}}
    events.put_rule(Name="objects", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="objects", Targets=[{"Id": "queue", "Arn": queue.arn}])
    for bucket, key in (("quiet", "a.zip"), ("telling", "a.txt"), ("telling", "source.zip")):
        etag = storage.put_object(Bucket=bucket, Key=key, Body=b"content")["ETag"]
    storage.put_object_tagging(Bucket="telling", Key="source.zip", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    storage.delete_object(Bucket="telling", Key="source.zip")
    created, deleted = (json.loads(text) for text in queue.take(2))
    assert (created["detail-type"], created["resources"]) == ("Object Created", ["arn:aws:s3:::telling"])
    assert (created["detail"]["bucket"], created["detail"]["reason"]) == ({"name": "telling"}, "PutObject")
    assert created["detail"]["object"]["key"] == "source.zip"
    assert (created["detail"]["object"]["size"], created["detail"]["object"]["etag"]) == (7, etag.strip('"'))
    assert (deleted["detail-type"], deleted["detail"]["reason"]) == ("Object Deleted", "DeleteObject")
