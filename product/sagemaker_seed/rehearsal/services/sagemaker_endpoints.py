"""SageMaker's endpoints: created, updated blue/green, described and deleted; each model is a process that serves.

An endpoint runs one process for each production variant: its number of instances is noted and not multiplied.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..ground import Actor, Event, Ground
from ..jobs.storage import Aws
from ..serving import rollout
from ..serving.capture import Capture
from ..serving.failure import ServingFailure
from ..serving.model_server import HEALTH_SECONDS, ModelServer, Seat
from ..serving.rollout import Endpoint
from ..serving.traffic import Fleet, Variant
from ..wire import AwsError, Request, not_implemented
from .sagemaker_endpoint_configs import Config, Configs
from .sagemaker_models import PRINCIPAL, Model, Models, arn, checked, listed
from .sagemaker_registry import backend, invalid
from .service import Operation

Answer = dict[str, Any]
Parameters = dict[str, Any]

IN_SERVICE = "InService"
SETTLED = {IN_SERVICE, "Failed", "OutOfService", "UpdateRollbackFailed"}
SMALLEST, LARGEST = {"CANARY": 1, "LINEAR": 10}, 50
LONGEST_SECONDS = 28800
# Of an asynchronous endpoint that does not say; on AWS, SageMaker chooses by the model.
ASYNCHRONOUS_AT_ONCE = 4
# Between the words of a status: events write InService as IN_SERVICE.
WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
RETAINED = ("DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig")


class Endpoints:
    """The operations on endpoints, and the processes behind them."""

    def __init__(self, ground: Ground, models: Models, configs: Configs) -> None:
        self._ground, self._models, self._configs = ground, models, configs
        self._endpoints: dict[tuple[str, str], dict[str, Endpoint]] = {}
        self._lock = threading.RLock()
        self.operations: dict[str, Operation] = {
            "CreateEndpoint": self._create,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._update_weights,
            "DescribeEndpoint": self._describe,
            "ListEndpoints": self._list,
            "DeleteEndpoint": self._delete,
        }

    def serving(self, request: Request, name: str) -> Endpoint | None:
        """The caller's endpoint of this name, if there is one that serves."""
        with self._lock:
            found = self._of(request).get(name)
        return found if found is not None and found.fleet is not None else None

    def _of(self, request: Request) -> dict[str, Endpoint]:
        return self._endpoints.setdefault((request.caller.account, request.region), {})

    def _find(self, request: Request, name: str) -> Endpoint:
        found = self._of(request).get(name)
        if found is None:
            raise invalid(f'Could not find endpoint "{arn(request, "endpoint", name)}".')
        return found

    def _settled(self, request: Request, name: str) -> Endpoint:
        found = self._find(request, name)
        if found.status not in SETTLED:
            raise invalid(f'Cannot update in-progress endpoint "{found.arn}".')
        return found

    def _create(self, request: Request) -> Answer:
        given = checked(request)
        name = given["EndpointName"]
        config, deployment = self._configs.find(request, given["EndpointConfigName"]), given.get("DeploymentConfig")
        self._check_models(request, config)
        self._check_deployment(request, deployment)
        told = partial(self._tell, request.region, request.caller.account)
        tags = list(given.get("Tags") or ())
        endpoint = Endpoint(name, arn(request, "endpoint", name), config.given, tags, told, deployment=deployment)
        with self._lock:
            if name in self._of(request):
                raise invalid(f'Cannot create already existing endpoint "{endpoint.arn}".')
            self._of(request)[name] = endpoint
            backend(request).endpoints[name] = endpoint  # where moto's operations on tags look
        rollout.create(endpoint, self._launcher(request, endpoint, config, {}, config.given.get("DataCaptureConfig")))
        return {"EndpointArn": endpoint.arn}

    def _update(self, request: Request) -> Answer:
        given = checked(request)
        config = self._configs.find(request, given["EndpointConfigName"])
        self._check_models(request, config)
        excluded = {one["VariantPropertyType"] for one in given.get("ExcludeRetainedVariantProperties") or ()}
        if excluded and not given.get("RetainAllVariantProperties"):
            raise invalid("ExcludeRetainedVariantProperties needs RetainAllVariantProperties.")
        with self._lock:
            endpoint = self._settled(request, given["EndpointName"])
            if endpoint.status != IN_SERVICE or endpoint.fleet is None:
                raise invalid(f'Cannot update endpoint "{endpoint.arn}" in the status {endpoint.status}.')
            deployment = given.get("DeploymentConfig")
            if deployment is None and given.get("RetainDeploymentConfig"):
                deployment = endpoint.deployment
            self._check_deployment(request, deployment)
            kept = set(RETAINED) - excluded if given.get("RetainAllVariantProperties") else set()
            endpoint.deployment = deployment
            endpoint.pending, endpoint.pending_since = config.given, rollout.now()
            endpoint.become("Updating")
        source = endpoint.config if "DataCaptureConfig" in kept else config.given
        overrides = _overrides(endpoint.fleet, kept)
        launch = self._launcher(request, endpoint, config, overrides, source.get("DataCaptureConfig"))
        rollout.update(endpoint, launch, self._alarms(request, deployment))
        return {"EndpointArn": endpoint.arn}

    def _update_weights(self, request: Request) -> Answer:
        given = checked(request)
        with self._lock:
            endpoint = self._settled(request, given["EndpointName"])
            if endpoint.fleet is None:
                raise invalid(f'Cannot update endpoint "{endpoint.arn}" in the status {endpoint.status}.')
            variants = {variant.name: variant for variant in endpoint.fleet.variants}
            wanted = given["DesiredWeightsAndCapacities"]
            names = [one["VariantName"] for one in wanted]
            if unknown := [name for name in names if name not in variants]:
                config = endpoint.config["EndpointConfigName"]
                raise invalid(
                    f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration '
                    f'"{config}".'
                )
            if len(set(names)) < len(names):
                raise invalid(f'The variant name "{names[0]}" was non-unique within the request.')
            if any(one.get("ServerlessUpdateConfig") for one in wanted):
                raise not_implemented(
                    "sagemaker", request.operation, "What a serverless variant may take is not changed."
                )
            endpoint.become("Updating")
            for one in wanted:
                variant = variants[one["VariantName"]]
                variant.weight = float(one.get("DesiredWeight", variant.weight))
                variant.instances = int(one.get("DesiredInstanceCount", variant.instances))
            endpoint.traffic.route((endpoint.fleet, 1.0))
            endpoint.become(IN_SERVICE)
        return {"EndpointArn": endpoint.arn}

    def _delete(self, request: Request) -> Answer:
        with self._lock:
            endpoint = self._settled(request, checked(request)["EndpointName"])
            fleet, endpoint.fleet = endpoint.fleet, None
            endpoint.become("Deleting")

        def remove() -> None:
            if fleet is not None:
                fleet.stop()
            with self._lock:
                self._of(request).pop(endpoint.name, None)
                backend(request).endpoints.pop(endpoint.name, None)

        threading.Thread(target=remove, daemon=True, name=f"end of {endpoint.name}").start()
        return {}

    def _describe(self, request: Request) -> Answer:
        with self._lock:
            endpoint = self._find(request, checked(request)["EndpointName"])
            return _described(endpoint)

    def _list(self, request: Request) -> Answer:
        given = checked(request)
        with self._lock:
            found = [
                {
                    "EndpointName": e.name,
                    "EndpointArn": e.arn,
                    "CreationTime": e.created,
                    "LastModifiedTime": e.modified,
                    "EndpointStatus": e.status,
                }
                for e in self._of(request).values()
                if given.get("StatusEquals") in (None, e.status)
            ]
        keys = {"Name": "EndpointName", "CreationTime": "CreationTime", "Status": "EndpointStatus"}
        return listed(found, given, "Endpoints", keys, "EndpointName")

    def _check_models(self, request: Request, config: Config) -> None:
        for model in config.models.values():
            self._models.find(request, model.name)

    def _launcher(
        self,
        request: Request,
        endpoint: Endpoint,
        config: Config,
        overrides: Mapping[str, Mapping[str, Any]],
        capture: Mapping[str, Any] | None,
    ) -> rollout.Launch:
        region = request.region

        def launch() -> Fleet:
            variants: list[Variant] = []
            fleet = Fleet(config.given, variants)
            try:
                for settings in config.given["ProductionVariants"]:
                    model = config.models[settings["VariantName"]]
                    now = overrides.get(settings["VariantName"], {})
                    variants.append(self._variant(region, endpoint, settings, model, now, capture))
                    variants[-1].room = _room(settings, config.given.get("AsyncInferenceConfig"))
                for settings in config.given.get("ShadowProductionVariants") or ():
                    model = config.models[settings["VariantName"]]
                    variants[0].shadows = (self._variant(region, endpoint, settings, model, {}, capture),)
            except ServingFailure:
                fleet.stop()
                raise
            return fleet

        return launch

    def _variant(  # noqa: PLR0917 - what a variant is made of
        self,
        region: str,
        endpoint: Endpoint,
        settings: Mapping[str, Any],
        model: Model,
        now: Mapping[str, Any],
        capture: Mapping[str, Any] | None,
    ) -> Variant:
        name = settings["VariantName"]
        try:
            actor = self._ground.role(model.role, PRINCIPAL, "SageMaker")
        except AwsError as error:
            raise ServingFailure(f"Unable to assume the role {model.role} of the model: {error.message}") from None
        aws = Aws(self._ground, actor, region)
        patience = settings.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTH_SECONDS)
        seat = Seat(endpoint.name, endpoint.arn, name, patience)
        server = ModelServer.started(self._ground.standby, aws, seat, model.contents)
        return Variant(
            settings=settings,
            image=model.contents.image,
            aws=aws,
            server=server,
            weight=float(now.get("DesiredWeight", settings.get("InitialVariantWeight", 1.0))),
            instances=int(now.get("DesiredInstanceCount", settings.get("InitialInstanceCount", 0))),
            capture=Capture(aws, capture, endpoint.name, name) if capture and capture.get("EnableCapture") else None,
        )

    def _check_deployment(self, request: Request, deployment: Mapping[str, Any] | None) -> None:
        """Refuses a deployment configuration that makes no sense, or names alarms that are not there."""
        if not deployment:
            return
        if deployment.get("RollingUpdatePolicy"):
            raise not_implemented("sagemaker", request.operation, "It has no rolling updates.")
        _check_routing(deployment.get("BlueGreenUpdatePolicy"))
        names = _alarm_names(deployment)
        if not names:
            return
        states = self._states(self._ground.caller(request), request.region, names)
        if missing := [name for name in names if name not in states]:
            raise invalid(f"The alarms of AutoRollbackConfiguration do not exist: {', '.join(missing)}.")

    def _alarms(self, request: Request, deployment: Mapping[str, Any] | None) -> Callable[[], list[str]]:
        """What tells which alarms are raised."""
        names, actor, region = _alarm_names(deployment or {}), self._ground.caller(request), request.region

        def raised() -> list[str]:
            return [n for n, s in self._states(actor, region, names).items() if s == "ALARM"] if names else []

        return raised

    def _states(self, actor: Actor, region: str, names: list[str]) -> dict[str, str]:
        try:
            answer = self._ground.client("cloudwatch", actor, region).describe_alarms(
                AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        except (ClientError, BotoCoreError) as error:
            raise invalid(f"The alarms {', '.join(names)} cannot be looked at: {error}") from None
        found = [*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in found}

    def _tell(self, region: str, account: str, endpoint: Endpoint) -> None:
        """Emits the event of a change of status."""
        detail = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config["EndpointConfigName"],
            "EndpointStatus": WORDS.sub("_", endpoint.status).upper(),
            "CreationTime": int(endpoint.created.timestamp() * 1000),
            "LastModifiedTime": int(endpoint.modified.timestamp() * 1000),
            "Tags": {tag["Key"]: tag["Value"] for tag in endpoint.tags},
            **({"FailureReason": endpoint.reason} if endpoint.reason else {}),
        }
        kind = "SageMaker Endpoint State Change"
        self._ground.emit(Event(account, region, "aws.sagemaker", kind, detail, (endpoint.arn,)))


def _room(settings: Mapping[str, Any], asynchronous: Mapping[str, Any] | None) -> threading.Semaphore | None:
    """How many invocations a variant takes at once; None where nothing says so: one with instances, in real time."""
    if serverless := settings.get("ServerlessConfig"):
        return threading.Semaphore(serverless["MaxConcurrency"])
    if asynchronous is None:
        return None
    each = (asynchronous.get("ClientConfig") or {}).get("MaxConcurrentInvocationsPerInstance", ASYNCHRONOUS_AT_ONCE)
    return threading.Semaphore(each * settings["InitialInstanceCount"])


def _overrides(fleet: Fleet, kept: set[str]) -> dict[str, dict[str, Any]]:
    """What each variant keeps over an update."""
    now = {v.name: {"DesiredInstanceCount": v.instances, "DesiredWeight": v.weight} for v in fleet.variants}
    return {name: {key: value for key, value in these.items() if key in kept} for name, these in now.items()}


def _alarm_names(deployment: Mapping[str, Any]) -> list[str]:
    alarms = (deployment.get("AutoRollbackConfiguration") or {}).get("Alarms") or ()
    return [str(alarm["AlarmName"]) for alarm in alarms]


def _check_routing(policy: Mapping[str, Any] | None) -> None:
    if policy is None:
        return
    routing = policy["TrafficRoutingConfiguration"]
    kind, members = routing["Type"], rollout.STEP_MEMBERS
    for other, member in members.items():
        if (member in routing) != (other == kind):
            raise invalid(f"{member} belongs to the traffic routing type {other}, which is {kind}.")
    if kind not in members:
        return
    size = routing[members[kind]]
    if size["Type"] == "CAPACITY_PERCENT" and not SMALLEST[kind] <= size["Value"] <= LARGEST:
        raise invalid(f"{members[kind]} must be from {SMALLEST[kind]} to {LARGEST} percent, and is {size['Value']}.")
    steps = 2 if kind == "CANARY" else -(-100 // size["Value"])
    waits = steps * routing.get("WaitIntervalInSeconds", 0) + policy.get("TerminationWaitInSeconds", 0)
    longest = policy.get("MaximumExecutionTimeoutInSeconds", LONGEST_SECONDS)
    if waits >= longest:
        raise invalid(f"MaximumExecutionTimeoutInSeconds ({longest}) must be more than all waits together ({waits}).")


def _described(endpoint: Endpoint) -> Answer:
    capture = endpoint.config.get("DataCaptureConfig")
    serving = endpoint.fleet.variants if endpoint.fleet else ()
    variants = [_variant(variant, endpoint) for variant in serving] or None
    shadows = [_variant(shadow, endpoint) for variant in serving for shadow in variant.shadows] or None
    pending = endpoint.pending and {
        "EndpointConfigName": endpoint.pending["EndpointConfigName"],
        "StartTime": endpoint.pending_since,
        "ProductionVariants": [_pending(variant) for variant in endpoint.pending["ProductionVariants"]],
    }
    maybe = {
        "FailureReason": endpoint.reason,
        "ProductionVariants": variants,
        "ShadowProductionVariants": shadows,
        "AsyncInferenceConfig": endpoint.config.get("AsyncInferenceConfig"),
        "LastDeploymentConfig": endpoint.deployment,
        "PendingDeploymentSummary": pending,
        "DataCaptureConfig": capture
        and {
            "EnableCapture": bool(capture.get("EnableCapture")),
            "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
            "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
            "DestinationS3Uri": capture["DestinationS3Uri"],
            "KmsKeyId": capture.get("KmsKeyId") or "",
        },
    }
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config["EndpointConfigName"],
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
        **{key: value for key, value in maybe.items() if value is not None},
    }


def _variant(variant: Variant, endpoint: Endpoint) -> Answer:
    return {
        "VariantName": variant.name,
        "DeployedImages": [
            {
                "SpecifiedImage": variant.image,
                "ResolvedImage": variant.image,
                "ResolutionTime": endpoint.created,
            }
        ],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        **_capacity(variant),
    }


def _capacity(variant: Variant) -> Answer:
    if serverless := variant.settings.get("ServerlessConfig"):
        return {"CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}
    return {"CurrentInstanceCount": variant.instances, "DesiredInstanceCount": variant.instances}


def _pending(settings: Mapping[str, Any]) -> Answer:
    serverless = settings.get("ServerlessConfig")
    return {
        "VariantName": settings["VariantName"],
        "DesiredWeight": settings.get("InitialVariantWeight", 1.0),
        **({"DesiredServerlessConfig": serverless} if serverless else {}),
        **({} if serverless else {"DesiredInstanceCount": settings["InitialInstanceCount"]}),
        "VariantStatus": [{"Status": "Creating"}],
    }
