"""CodeBuild's API of report groups and reports, and the calls with which a build fills them. Reads no files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from ..builds.progress import now
from ..wire import AwsError, Request
from .codebuild_store import Answer, Parameters, Report, Store, invalid, not_found, page
from .validation import check

STATUSES = ("SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN")


def operations() -> dict[str, Callable[[Store, Request, Parameters], Answer]]:
    """By the API's names; the last three are the build agent's, which no SDK has."""
    return {
        "BatchGetReportGroups": _batch_get_groups,
        "BatchGetReports": _batch_get,
        "CreateReportGroup": _create_group,
        "DeleteReport": _delete,
        "DeleteReportGroup": _delete_group,
        "DescribeTestCases": _cases,
        "ListReportGroups": _list_groups,
        "ListReports": _list,
        "ListReportsForReportGroup": _list_for_group,
        "BatchPutTestCases": _put_cases,
        "CreateReport": _create,
        "UpdateReport": _update,
    }


def _create_group(store: Store, request: Request, given: Parameters) -> Answer:
    check(given, request.operation_model.input_shape)
    if given["type"] != "TEST":
        raise invalid("The embedded AWS does not implement report groups of the type CODE_COVERAGE.")
    if given["exportConfig"].get("exportConfigType") != "NO_EXPORT":
        raise invalid("The embedded AWS does not implement the export of reports: exportConfigType must be NO_EXPORT.")
    arn = store.arn("report-group", given["name"])
    if arn in store.groups:
        raise AwsError("ResourceAlreadyExistsException", f"Report group already exists: {arn}")
    made = {key: given[key] for key in ("name", "type", "exportConfig", "tags") if given.get(key) is not None}
    store.groups[arn] = {"arn": arn, **made, "created": now(), "lastModified": now(), "status": "ACTIVE"}
    return {"reportGroup": store.groups[arn]}


def _group(store: Store, arn: str) -> Answer:
    if arn not in store.groups:
        raise not_found(f"Report group cannot be found: {arn}")
    return store.groups[arn]


def _report(store: Store, arn: str) -> Report:
    if arn not in store.reports:
        raise not_found(f"Report cannot be found: {arn}")
    return store.reports[arn]


def _delete_group(store: Store, _: Request, given: Parameters) -> Answer:
    arn = given["arn"]
    inside = [report.arn for report in store.reports.values() if report.group == arn]
    if inside and not given.get("deleteReports"):
        raise invalid("Report group cannot be deleted because it contains reports")
    for report in inside:
        del store.reports[report]
    store.groups.pop(arn, None)
    return {}


def _delete(store: Store, _: Request, given: Parameters) -> Answer:
    store.reports.pop(given["arn"], None)
    return {}


def _batch_get_groups(store: Store, _: Request, given: Parameters) -> Answer:
    arns = given["reportGroupArns"]
    return {
        "reportGroups": [store.groups[arn] for arn in arns if arn in store.groups],
        "reportGroupsNotFound": [arn for arn in arns if arn not in store.groups],
    }


def _batch_get(store: Store, _: Request, given: Parameters) -> Answer:
    arns = given["reportArns"]
    return {
        "reports": [_described(store, store.reports[arn]) for arn in arns if arn in store.reports],
        "reportsNotFound": [arn for arn in arns if arn not in store.reports],
    }


def _described(store: Store, report: Report) -> Answer:
    counts = Counter(case["status"] for case in report.cases)
    return {
        "arn": report.arn,
        "type": "TEST",
        "name": report.arn.rpartition("/")[2].partition(":")[2],
        "reportGroupArn": report.group,
        "executionId": report.build,
        "status": report.status,
        "created": report.created,
        "exportConfig": store.groups.get(report.group, {}).get("exportConfig", {}),
        "truncated": False,
        "testSummary": {
            "total": len(report.cases),
            "statusCounts": {status: counts.get(status, 0) for status in STATUSES},
            "durationInNanoSeconds": sum(case["durationInNanoSeconds"] for case in report.cases),
        },
    }


def _list_groups(store: Store, _: Request, given: Parameters) -> Answer:
    return page(sorted(store.groups), given, "reportGroups")


def _matching(store: Store, given: Parameters, group: str | None = None) -> list[str]:
    status = (given.get("filter") or {}).get("status")
    found = [r for r in store.reports.values() if group in (None, r.group) and status in (None, r.status)]
    return [report.arn for report in found]


def _list(store: Store, _: Request, given: Parameters) -> Answer:
    return page(_matching(store, given), {"sortOrder": "DESCENDING", **given}, "reports")


def _list_for_group(store: Store, _: Request, given: Parameters) -> Answer:
    group = _group(store, given["reportGroupArn"])["arn"]
    return page(_matching(store, given, group), {"sortOrder": "DESCENDING", **given}, "reports")


def _cases(store: Store, _: Request, given: Parameters) -> Answer:
    report, wanted = _report(store, given["reportArn"]), given.get("filter") or {}
    found = [
        {"reportArn": report.arn, **case}
        for case in report.cases
        if wanted.get("status") in (None, case["status"]) and (wanted.get("keyword") or "") in case["name"]
    ]
    numbers = page([str(n) for n in range(len(found))], given, "testCases")
    return {**numbers, "testCases": [found[int(number)] for number in numbers["testCases"]]}


def _agents(request: Request) -> dict[str, Any]:
    """The parameters of a call of the build agent's, of which botocore has no model."""
    content = json.loads(request.body or b"{}")
    if not isinstance(content, dict):
        raise invalid("The request is not a JSON object")
    return content


def _create(store: Store, request: Request, _: Parameters) -> Answer:
    given = _agents(request)
    group = _group(store, str(given.get("reportGroupArn")))
    arn = str(given.get("reportArn"))
    if not arn.startswith(store.arn("report", f"{group['name']}:")):
        raise invalid(f"Invalid report ARN: {arn}")
    store.reports[arn] = Report(arn, group["arn"], str(given.get("executionId")))
    return {}


def _put_cases(store: Store, request: Request, _: Parameters) -> Answer:
    given = _agents(request)
    _report(store, str(given.get("reportArn"))).cases += given["testCases"]
    return {}


def _update(store: Store, request: Request, _: Parameters) -> Answer:
    given = _agents(request)
    _report(store, str(given.get("reportArn"))).status = given["status"]
    return {}
