"""The page about the embedded AWS: its lists are those of the code, and what it says is refused is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker_seed.rehearsal import scope
from sagemaker_seed.rehearsal.access.tables import BEYOND_SDK
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from sagemaker_seed.rehearsal.server import MOTO_VERSION
from sagemaker_seed.rehearsal.serving.rollout import WAITS_SHORTENED
from support import REGION, ROOT

PAGE = (ROOT / "docs/embedded-aws.md").read_text(encoding="utf-8")
PROSE = PAGE.partition(scope.BEGIN)[0]
SCOPES = {one.name: one for one in scope.scopes()}
NOT_IMPLEMENTED = "NotImplementedByEmbeddedAws"
# Sent as they are: an operation is refused whatever its parameters say, and the SDK is not to refuse them first.
UNCHECKED = Config(parameter_validation=False, inject_host_prefix=False, retries={"total_max_attempts": 1})
MADE_UP = {
    "string": "x",
    "integer": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "boolean": False,
    "timestamp": 0,
    "blob": b"x",
    "map": {},
    "list": [],
}

# What is looked at before it is known that nobody answers.
NEEDED = {"PutUserPermissionsBoundary": {"PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"}}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    """One of its own: what is called with made-up parameters leaves things behind."""
    with EmbeddedAws(region=REGION) as running:
        running.client("organizations").create_organization()
        yield running


def made_up(shape: Any) -> Any:
    """The smallest value of a shape: what is required, and nothing else."""
    if shape is None:
        return {}
    if shape.type_name == "structure":
        return {name: made_up(shape.members[name]) for name in shape.required_members}
    return shape.enum[0] if shape.type_name == "string" and shape.enum else MADE_UP[shape.type_name]


def answers(aws: EmbeddedAws, service: str, operations: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Operation, error code and message of each call; code and message are empty for a call that succeeds."""
    model = botocore.session.get_session().get_service_model(service)
    client = aws.client(service, config=UNCHECKED)
    for operation in operations:
        parameters = made_up(model.operation_model(operation).input_shape) | NEEDED.get(operation, {})
        try:
            client._make_api_call(operation, parameters)
        except ClientError as error:
            said = error.response.get("Error", {})
            yield operation, said.get("Code", ""), said.get("Message", str(error.response))
        else:
            yield operation, "", ""


def test_the_lists_of_the_page_are_those_of_the_code() -> None:
    _, _, rest = PAGE.partition(scope.BEGIN)
    lists, _, _ = rest.partition(scope.END)
    same = lists.strip() == scope.markdown().strip()
    assert same, "docs/embedded-aws.md is behind: python -m sagemaker_seed.rehearsal.scope docs/embedded-aws.md"


@pytest.mark.slow
@pytest.mark.parametrize("service", [one.name for one in SCOPES.values() if one.own])
def test_what_the_page_calls_refused_is_refused_by_name(aws: EmbeddedAws, service: str) -> None:
    done = [
        (operation, code, message)
        for operation, code, message in answers(aws, service, SCOPES[service].refused)
        if code != NOT_IMPLEMENTED or f"{service}:{operation}" not in message
    ]
    assert done == []


@pytest.mark.parametrize("service", [one.name for one in SCOPES.values() if one.ours])
def test_what_the_page_calls_ours_is_not_refused(aws: EmbeddedAws, service: str) -> None:
    ours = [name for name in SCOPES[service].ours if name not in BEYOND_SDK.get(service, ())]
    assert ours
    assert [name for name, code, _ in answers(aws, service, ours) if code in {NOT_IMPLEMENTED, "InternalFailure"}] == []


def test_the_page_says_of_every_service_what_is_real() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|(.*)\|(.*)\|$", PROSE, re.MULTILINE)
    assert [name for name, *_ in rows if name not in SCOPES] == []
    assert sorted(name for name, *_ in rows) == sorted(SCOPES)
    assert [name for name, *cells in rows if not any(cell.strip() for cell in cells)] == []
    assert {name for name, real, *_ in rows if real.strip()} <= {name for name, one in SCOPES.items() if one.own}


def test_what_the_page_says_in_figures_is_so() -> None:
    assert f"moto](https://docs.getmoto.org) {MOTO_VERSION}," in PROSE
    assert f"{WAITS_SHORTENED} times shorter" in PROSE


def test_the_lists_can_be_put_into_a_page_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{scope.BEGIN}\nold\n{scope.END}\nafter\n")
    scope.put(page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith(f"{scope.END}\nafter\n")
    assert "\nold\n" not in text and scope.markdown() in text


def test_a_buildspec_that_is_done_after_all_is_not_called_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "REFUSED_BUILDSPECS", (scope.PHASE % "",))
    with pytest.raises(ValueError, match="no longer refused"):
        scope.refused_in_buildspecs()
