"""Tags of SageMaker's resources: those that moto keeps, and those of our own kinds. Keeps none itself."""

from __future__ import annotations

from typing import Any

from ..wire import Request
from .sagemaker_models import checked
from .sagemaker_projects import Projects
from .sagemaker_registry import backend, invalid
from .service import Operation

MOST = 50


class Tags:
    """The operations on tags."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self.operations: dict[str, Operation] = {
            "AddTags": self._add,
            "DeleteTags": self._delete,
            "ListTags": self._list,
        }

    def _add(self, request: Request) -> dict[str, Any]:
        given = checked(request)
        resource = self._resource(request, given["ResourceArn"])
        tags = {tag["Key"]: tag["Value"] for tag in [*(resource.tags or ()), *given["Tags"]]}
        if len(tags) > MOST:
            raise invalid(f"A resource has at most {MOST} tags; {given['ResourceArn']} would have {len(tags)}.")
        resource.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {"Tags": resource.tags}

    def _delete(self, request: Request) -> dict[str, Any]:
        given = checked(request)
        resource = self._resource(request, given["ResourceArn"])
        resource.tags = [tag for tag in resource.tags or () if tag["Key"] not in given["TagKeys"]]
        return {}

    def _list(self, request: Request) -> dict[str, Any]:
        return {"Tags": self._resource(request, checked(request)["ResourceArn"]).tags or []}

    def _resource(self, request: Request, arn: str) -> Any:
        """Whatever has this ARN; it has ``tags``.

        Raises:
            AwsError: there is nothing of this ARN of the caller's.
        """
        parts, state = arn.split(":", 5), backend(request)
        found = None
        if parts[2:5] == ["sagemaker", request.region, request.caller.account]:
            kind, _, name = parts[5].partition("/")
            if kind == "project":
                found = self._projects.with_arn(request, arn)
            elif kind == "model-package":
                found = state.model_packages.get(arn)
            elif name and "/" not in name:
                found = _of_moto(state, arn)
        if found is None:
            raise invalid(f"Resource {arn} does not exist.")
        return found


def _of_moto(state: Any, arn: str) -> Any:
    try:
        return state._get_resource_from_arn(arn)
    except AttributeError:  # what comes of a kind that moto does not know
        return None
