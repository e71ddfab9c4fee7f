"""Topics, their policies and subscriptions."""

from __future__ import annotations

from typing import Any

from ..provider import Context, Made, ResourceFailed
from .common import Properties, document, generated, gone_is_fine, resource, retag, tag_list, tags_of, undone

ATTRIBUTES = "DisplayName KmsMasterKeyId FifoTopic ContentBasedDeduplication SignatureVersion TracingConfig".split()
SUBSCRIPTION = "FilterPolicy FilterPolicyScope RawMessageDelivery RedrivePolicy DeliveryPolicy".split()
DOCUMENTS = {"FilterPolicy", "RedrivePolicy", "DeliveryPolicy"}
GONE = "NotFound"


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return document(value) if name in DOCUMENTS else str(value)


def _attributes(properties: Properties, names: list[str]) -> dict[str, str]:
    return {name: _text(name, properties[name]) for name in names if name in properties}


def _create_topic(context: Context, properties: Properties) -> Made:
    sns, fifo = context.client("sns"), ".fifo" if properties.get("FifoTopic") else ""
    name = properties.get("TopicName") or generated(context, 256 - len(fifo)) + fifo
    # CreateTopic answers with a topic that is there already; CloudFormation does not take what it has not made.
    there = f"arn:{context.partition}:sns:{context.region}:{context.account}:{name}"
    with gone_is_fine(GONE):
        sns.get_topic_attributes(TopicArn=there)
        raise ResourceFailed(f"{name} already exists")
    tags = tag_list(tags_of(context, properties))
    arn = sns.create_topic(
        Name=name, Attributes=_attributes(properties, ATTRIBUTES), **({"Tags": tags} if tags else {})
    )["TopicArn"]
    with undone(lambda: sns.delete_topic(TopicArn=arn)):
        for subscription in properties.get("Subscription", ()):
            sns.subscribe(TopicArn=arn, **subscription)
    return Made(arn, {"TopicArn": arn, "TopicName": name})


def _update_topic(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    sns, arn = context.client("sns"), made.physical_id
    before, after = _attributes(old, ATTRIBUTES), _attributes(new, ATTRIBUTES)
    for name in [name for name in ATTRIBUTES if before.get(name) != after.get(name)]:
        sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=after.get(name, ""))
    wanted = {(s["Protocol"], s["Endpoint"]) for s in new.get("Subscription", ())}
    had = {(s["Protocol"], s["Endpoint"]) for s in old.get("Subscription", ())}
    for protocol, endpoint in sorted(wanted - had):
        sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)
    if had - wanted:
        for there in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]:
            if (there["Protocol"], there["Endpoint"]) in had - wanted:
                sns.unsubscribe(SubscriptionArn=there["SubscriptionArn"])
    retag(
        sns.list_tags_for_resource(ResourceArn=arn)["Tags"],
        tags_of(context, new),
        lambda tags: sns.tag_resource(ResourceArn=arn, Tags=tag_list(tags)),
        lambda keys: sns.untag_resource(ResourceArn=arn, TagKeys=keys),
    )
    return made


def _delete_topic(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine(GONE):
        context.client("sns").delete_topic(TopicArn=made.physical_id)


def _create_policy(context: Context, properties: Properties) -> Made:
    made = Made(generated(context, 256), {})
    _put_policy(context, properties)
    return Made(made.physical_id, {"Id": made.physical_id})


def _put_policy(context: Context, properties: Properties) -> None:
    for topic in properties["Topics"]:
        context.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=document(properties["PolicyDocument"])
        )


def _update_policy(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    _put_policy(context, new)
    _reset(context, [topic for topic in old["Topics"] if topic not in new["Topics"]])
    return made


def _delete_policy(context: Context, _: Made, properties: Properties) -> None:
    _reset(context, properties["Topics"])


def _reset(context: Context, topics: list[str]) -> None:
    """A topic is never without a policy: it gets back the one that it was made with, which lets in its owner."""
    for topic in topics:
        policy = {
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [
                {
                    "Sid": "__default_statement_ID",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [
                        "SNS:GetTopicAttributes",
                        "SNS:SetTopicAttributes",
                        "SNS:AddPermission",
                        "SNS:RemovePermission",
                        "SNS:DeleteTopic",
                        "SNS:Subscribe",
                        "SNS:ListSubscriptionsByTopic",
                        "SNS:Publish",
                    ],
                    "Resource": topic,
                    "Condition": {"StringEquals": {"AWS:SourceOwner": context.account}},
                }
            ],
        }
        with gone_is_fine(GONE):
            context.client("sns").set_topic_attributes(
                TopicArn=topic, AttributeName="Policy", AttributeValue=document(policy)
            )


def _subscribe(context: Context, properties: Properties) -> Made:
    arn = context.client("sns").subscribe(
        TopicArn=properties["TopicArn"],
        Protocol=properties["Protocol"],
        Attributes=_attributes(properties, SUBSCRIPTION),
        ReturnSubscriptionArn=True,
        **({"Endpoint": properties["Endpoint"]} if "Endpoint" in properties else {}),
    )["SubscriptionArn"]
    return Made(arn, {"Arn": arn})


def _update_subscription(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    before, after = _attributes(old, SUBSCRIPTION), _attributes(new, SUBSCRIPTION)
    for name in [name for name in SUBSCRIPTION if before.get(name) != after.get(name)]:
        value = after.get(name, "{}" if name in DOCUMENTS else "")
        context.client("sns").set_subscription_attributes(
            SubscriptionArn=made.physical_id, AttributeName=name, AttributeValue=value
        )
    return made


def _unsubscribe(context: Context, made: Made, _: Properties) -> None:
    with gone_is_fine(GONE):
        context.client("sns").unsubscribe(SubscriptionArn=made.physical_id)


PROVIDERS = dict(
    (
        resource(
            "AWS::SNS::Topic",
            _create_topic,
            _update_topic,
            _delete_topic,
            honours=f"TopicName Subscription Tags {' '.join(ATTRIBUTES)}",
        ),
        resource(
            "AWS::SNS::TopicPolicy", _create_policy, _update_policy, _delete_policy, honours="PolicyDocument Topics"
        ),
        resource(
            "AWS::SNS::Subscription",
            _subscribe,
            _update_subscription,
            _unsubscribe,
            honours=f"Endpoint Protocol TopicArn {' '.join(SUBSCRIPTION)}",
        ),
    )
)
