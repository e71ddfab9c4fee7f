"""The page about a rehearsal: what is on it, that it needs no network, and that no text of anybody's becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sagemaker_seed.errors import SeedError
from sagemaker_seed.rehearsal.page import plots, write

EVIL = '<script>alert("1")</script>'


def result(**more: Any) -> dict[str, Any]:
    """What a rehearsal collects, as little of it as shows everything."""
    action = {
        "stage": "DeployStaging",
        "name": "Test",
        "provider": "CodeBuild",
        "status": "Succeeded",
        "began": 4.0,
        "ended": 6.5,
        "external": "p:1",
        "said": EVIL,
    }
    return {
        "seconds": 12.5,
        "steps": [
            {"name": "render", "seconds": 2.5, "lines": ["build/iris"]},
            {"name": "staging", "seconds": 10.0, "lines": [EVIL]},
        ],
        "accounts": {"data-science": "111111111111", "staging": "222222222222"},
        "region": "eu-west-1",
        "project": {"name": "iris", "id": "p-1", "stack": "SC-1"},
        "publication": {"version": "0.1.0-abc"},
        "endpoints": {"staging": {"name": "iris-staging", "status": "InService", "package": "arn:x:model-package/g/7"}},
        "runs": [{"pipeline": "deploy", "id": "1", "status": "Succeeded", "trigger": "Webhook", "actions": [action]}],
        "models": [
            {
                "package": "g/7",
                "approval": "Approved",
                "metrics": {"accuracy": 0.952381, EVIL: 1},
                "evaluation": {
                    "summary": "accepted",
                    "confusion_matrix": {"classes": ["a", EVIL], "rows": [[7, 0], [1, 6]]},
                    "feature_importance": {"width": 0.75, "length": 0.25},
                },
                "curve": {"train": {"mlogloss": [1.0, 0.5, 0.25]}, "validation": {"mlogloss": [1.1, 0.7, 0.6]}},
            }
        ],
        "approvals": [
            {
                "pipeline": "deploy",
                "stage": "DeployStaging",
                "status": "Succeeded",
                "asked": f"Version 7? {EVIL}",
                "link": f"s3/object/bucket?{EVIL}",
                "page": f"<p>A summary {EVIL}</p>",
            }
        ],
        "tests": [
            {
                "stage": "staging",
                "outcome": "passed",
                "endpoint": "iris-staging",
                "seconds": 0.8,
                "measurements": {"latency": {"p50_ms": 7.25, "requests": 20}, EVIL: {"metric": EVIL}},
                "checks": [{"name": "answers", "outcome": "passed", "message": "3 rows", "seconds": 0.01}],
            }
        ],
        "resources": {
            "data-science": [
                {
                    "stack": "SC-1",
                    "stack_status": "CREATE_COMPLETE",
                    "id": "Bucket",
                    "type": "AWS::S3::Bucket",
                    "physical_id": "b",
                    "status": "CREATE_COMPLETE",
                }
            ],
            "staging": [],
        },
        "builds": [{"id": "p:1", "project": "p", "status": "FAILED", "phases": [], "log": ["line", EVIL]}],
        "missing": {},
        **more,
    }


class Reader(HTMLParser):
    """Collects the tags of a page, and what they refer to."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "rect", "line", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in {"href", "src", "action", "data"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_no_network_and_every_tag_is_closed() -> None:
    page = write.html("Iris", result(), "")
    read = Reader(page)
    assert read.open == []
    assert read.references == []
    assert "script" not in read.tags
    assert not re.search(r"url\(|@import|https?://", page)
    assert len(page.encode()) < 1_000_000


def test_nobodys_text_becomes_markup() -> None:
    page = write.html(EVIL, result(), EVIL)
    assert "<script" not in page
    # title, heading, problem, step, action, metric, class, log
    assert page.count("&lt;script&gt;") >= 8


def test_what_was_found_is_on_the_page() -> None:
    page = write.html("Iris", result(), "")
    for text in (
        "Arrived in 12.5 s",
        "0.1.0-abc",
        "iris-staging",
        "serves g/7",
        "0.9524",
        "3 rows",
        "AWS::S3::Bucket",
        "p50 ms 7.25",
    ):
        assert text in page
    assert "Version 7?" in page
    assert 'srcdoc="&lt;p&gt;A summary' in page
    assert " sandbox " in page  # a summary may be anybody's
    assert page.count("<figure>") == 3


def test_a_rehearsal_that_stopped_says_where_and_why() -> None:
    page = write.html("Iris", result(), "the launch failed: Bucket: no")
    assert "Stopped at staging" in page
    assert "the launch failed: Bucket: no" in page
    assert "Arrived" not in page


def test_a_rehearsal_that_hardly_began_has_a_page_too() -> None:
    page = write.html("Iris", {"seconds": 0.0, "steps": []}, "no network")
    assert "Stopped at the start" in page
    assert Reader(page).open == []


def test_bars_lie_where_their_time_is() -> None:
    page = write.html("Iris", result(), "")
    # 4.0 to 6.5 of 12.5 seconds
    assert 'class="succeeded" style="left:32.0%;width:20.0%" title="DeployStaging/Test, 2.5 s"' in page


def test_a_confusion_matrix_shows_every_count() -> None:
    drawn = plots.confusion({"classes": ["a", "b"], "rows": [[7, 0], [1, 6]]})
    assert [int(n) for n in re.findall(r'text-anchor="middle">(\d+)<', drawn)] == [7, 0, 1, 6]
    assert re.findall(r"--shade:([\d.]+)", drawn) == ["1.00", "0.00", "0.14", "0.86"]


def test_residuals_lie_on_the_line_where_they_agree() -> None:
    drawn = plots.residuals({"actual": [1.0, 2.0], "predicted": [1.0, 1.5]})
    (ends,) = re.findall(r'class="rule" points="([\d., ]+)"', drawn)
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)
    assert ends.split()[0] == ",".join(dots[0])
    assert float(dots[1][1]) > float(ends.split()[1].split(",")[1])  # below the line: predicted less than true


@pytest.mark.parametrize("values", [[0.5], [1.0, 1.0, 1.0]], ids=["one round", "always the same"])
def test_a_flat_curve_is_drawn(values: list[float]) -> None:
    assert "polyline" in plots.curve({"train": {"rmse": values}})


def test_a_curve_without_rounds_is_left_out() -> None:
    assert plots.curve({"train": {"rmse": []}}) == ""


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SeedError, match=r"file/page\.html: cannot be written: .*; choose another --page"):
        write.write(tmp_path / "file" / "page.html", "Iris", result(), "")
