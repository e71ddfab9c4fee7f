"""The seed's reader of plain YAML against PyYAML: what it returns is equal, or it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seed_support.baking import TEMPLATE, load_module

reader = load_module(TEMPLATE / "deploy" / "plain_yaml.py", "seed_plain_yaml")
ENDPOINT_TEMPLATE = (TEMPLATE / "cfn-sm-endpoint-template.yml").read_text(encoding="utf-8")
SECTION = ENDPOINT_TEMPLATE[ENDPOINT_TEMPLATE.index("\nParameters:") + 1 : ENDPOINT_TEMPLATE.index("\nConditions:") + 1]
NAMES = {
    *(
        "SageMakerProjectName",
        "SageMakerProjectId",
        "StageName",
        "ModelPackageName",
        "ModelExecutionRoleName",
    ),
    *("EndpointInstanceType", "EndpointInstanceCount"),
    *("DataCapturePercentage", "DataCaptureS3Uri", "KmsKeyArn", "SubnetIds", "SecurityGroupIds"),
    *("EnableNetworkIsolation", "AutoscalingMaxCapacity", "AutoscalingMinCapacity"),
    *("AutoscalingInvocationsPerInstance", "UpdatePolicy", "UpdateStepPercent", "UpdateWaitSeconds"),
    *("AlarmErrorPercent", "AlarmLatencyMicroseconds"),
    *("MonitorSchedule", "MonitorRoleName", "MonitorInstanceType", "MonitorDriftThreshold", "MonitorImageUri"),
    *("MonitorCodeS3Uri", "BaselineStatisticsS3Uri", "BaselineConstraintsS3Uri", "DriftAlarmTopicArn"),
    *("DriftEventBusArn", "WatchRoleName", "Dashboard"),
    *("ShadowOfVersion", "ShadowSamplingPercentage", "ShadowModelPackageName"),
}
CORPUS = sorted(Path(__file__).parent.parent.glob("product/cloudformation/*.yaml"))


class _Loader(yaml.SafeLoader):
    """PyYAML's own reading, with CloudFormation's tags, which stand outside Parameters, let through."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix}")


def by_pyyaml(text: str) -> Any:
    return yaml.load(text, _Loader)["Parameters"]


def section_of(text: str) -> str:
    """The text from `Parameters:` up to the next key at the left margin."""
    lines = text.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith("Parameters:"))
    ends = (number for number in range(start + 1, len(lines)) if re.match("[A-Za-z]", lines[number]))
    return "\n".join(lines[start : next(ends, len(lines))]) + "\n"


def agree(text: str) -> bool:
    """Whether the reader took the text; it must then have read what PyYAML reads, types included."""
    try:
        found = reader.read_section(text, "Parameters")
    except reader.PlainYamlError:
        return False
    try:
        expected = by_pyyaml(text)
    except yaml.YAMLError:
        # The fault may stand behind the section, which is all that the reader reads.
        expected = by_pyyaml(section_of(text))
    # JSON tells true from 1, which Python's == does not, and keeps the order of keys.
    assert json.dumps(found) == json.dumps(expected), text
    return True


def test_the_endpoint_template_is_read_as_pyyaml_reads_it() -> None:
    assert agree(ENDPOINT_TEMPLATE)
    assert set(by_pyyaml(ENDPOINT_TEMPLATE)) == NAMES


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_other_templates_are_read_alike_or_refused(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "\nParameters:" in text:
        agree(text)


words = st.text(alphabet="abcXYZ019 .,:;#'\"\\[]{}&*!|>%@`?-_=~+<^$/()é\u00a0", max_size=24)
scalars = st.one_of(
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.floats(-1000, 1000).map(lambda number: round(number, 3)),
    words,
    st.sampled_from(["yes", "No", "null", "~", "0777", "0x1f", "1_000", "12:30", "1e5", "2026-11-21", ".5", "+1", "-"]),
)
keys = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True)
values = st.one_of(scalars, st.lists(scalars, max_size=4), st.dictionaries(keys, scalars, max_size=4))
sections = st.dictionaries(keys, st.dictionaries(keys, values, min_size=1, max_size=4), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(section=sections, flow=st.sampled_from([None, False, True]), width=st.sampled_from([40, 10**6]))
def test_whatever_pyyaml_writes_is_read_alike_or_refused(section: Any, flow: bool | None, width: int) -> None:
    agree(yaml.safe_dump({"Parameters": section}, default_flow_style=flow, width=width, allow_unicode=True))


plain_words = st.from_regex(r"[a-z]{3,8}( [a-z]{3,8}){0,3}", fullmatch=True).filter(
    lambda text: text not in ("yes", "off", "true", "null", "false")
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    section=st.dictionaries(
        st.from_regex(r"[A-Z][a-z]{3,8}", fullmatch=True).filter(lambda key: key not in ("True", "False", "Null")),
        st.dictionaries(st.sampled_from(["Type", "Default", "Description"]), plain_words, min_size=1),
        min_size=1,
    )
)
def test_plain_declarations_are_never_refused(section: Any) -> None:
    assert agree(yaml.safe_dump({"Parameters": section}, width=10**6))


lines = st.text(alphabet="ab1 :#'\"-[]{},|>&*!?~\\=.\t\u2028é", max_size=14)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), lines), min_size=1, max_size=6))
def test_arbitrary_lines_are_read_alike_or_refused(body: list[tuple[int, str]]) -> None:
    agree("Parameters:\n  Key: value\n" + "".join(" " * indent + line + "\n" for indent, line in body))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, len(SECTION) - 1),
    st.integers(0, 3),
    st.text(alphabet=" \n:#'\"-[]{},|>&*!?~\\a1", max_size=3),
)
def test_the_damaged_section_is_read_alike_or_refused(position: int, removed: int, inserted: str) -> None:
    agree(SECTION[:position] + inserted + SECTION[position + removed :])


@pytest.mark.slow
def test_every_line_left_out_is_read_alike_or_refused() -> None:
    kept = SECTION.splitlines(keepends=True)
    taken = [agree("".join(kept[:number] + kept[number + 1 :])) for number in range(1, len(kept))]
    assert any(taken)
    assert not all(taken)
