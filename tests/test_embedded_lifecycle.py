"""The embedded AWS as a process: it starts alone, is found by what should find it, and never outlives its owner."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sagemaker_seed.rehearsal import embedded
from sagemaker_seed.rehearsal.embedded import ACCOUNT, Call, EmbeddedAws, EmbeddedAwsError

pytestmark = pytest.mark.slow

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(region=REGION) as running:
        yield running


def answers(url: str, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, int(url.rpartition(":")[2])), timeout=1).close()
    except OSError:
        return False
    return True


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for its new parent to take note does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_within(seconds: float, pid: int) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_two_side_by_side_share_nothing(aws: EmbeddedAws) -> None:
    with EmbeddedAws(region=REGION) as other:
        assert other.url != aws.url
        for running, name in ((aws, "first"), (other, "second")):
            running.client("servicecatalog").create_portfolio(DisplayName=name, ProviderName="platform")
            running.client("s3", region="us-east-1").create_bucket(Bucket="the-same-name")
            running.client("s3").put_object(Bucket="the-same-name", Key="who", Body=name.encode())
        for running, name in ((aws, "first"), (other, "second")):
            portfolios = running.client("servicecatalog").list_portfolios()["PortfolioDetails"]
            assert [p["DisplayName"] for p in portfolios] == [name]
            assert running.client("s3").get_object(Bucket="the-same-name", Key="who")["Body"].read() == name.encode()
        assert [c.operation for c in other.calls()].count("CreatePortfolio") == 1


def test_it_listens_on_one_address_only(aws: EmbeddedAws) -> None:
    assert aws.url.startswith("http://127.0.0.1:")
    assert answers(aws.url)
    assert not answers(aws.url, "127.0.0.2")


def test_nothing_is_left_after_an_exception(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    running = EmbeddedAws(region=REGION)
    with pytest.raises(ZeroDivisionError), running:
        pid, url = running.pid, running.url
        assert alive(pid)
        running.client("s3").list_buckets()
        raised = time.monotonic()
        raise ZeroDivisionError
    assert time.monotonic() - raised < embedded.STOP_SECONDS / 2, "it had to be killed"
    assert not alive(pid)
    assert not answers(url)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EmbeddedAwsError, match="not running"):
        running.client("s3")
    with pytest.raises(EmbeddedAwsError, match="not running"):
        running.calls()


def test_it_can_be_entered_again() -> None:
    running = EmbeddedAws(region=REGION)
    urls = []
    for _ in range(2):
        with running:
            urls.append(running.url)
            assert running.client("s3").list_buckets()["Buckets"] == []
    assert len(set(urls)) == 2


HOLDER = """
import os, sys, time
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
aws = EmbeddedAws(region="eu-west-1").__enter__()
if sys.argv[1] == "fork" and os.fork() == 0:  # a copy of the parent, which holds on to the pipe
    time.sleep(30)
    os._exit(0)
print(aws.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["alone", "fork"])
def test_it_dies_with_its_parent(kind: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        assert alive(pid)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert gone_within(2, pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        if holder.stdout is not None:
            holder.stdout.close()


def test_a_missing_moto_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedAwsError, match=r"pip install 'sagemaker-seed\[rehearsal\]'"):
        EmbeddedAws(region=REGION).__enter__()


def test_another_moto_is_refused_by_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "moto-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moto\nVersion: 9.9.9\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EmbeddedAwsError) as refusal:
        EmbeddedAws(region=REGION).__enter__()
    assert "moto 5.2.5, and moto 9.9.9 is installed" in str(refusal.value)
    assert "pip install 'moto[server]==5.2.5'" in str(refusal.value)


def test_a_moto_without_a_patched_name_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.s3.models import FakeBucket
    from sagemaker_seed.rehearsal import moto_overlay

    moto_overlay.check("5.2.5")
    monkeypatch.delattr(FakeBucket, "get_permission")
    monkeypatch.setitem(moto_overlay.RELIED_ON, "moto.s3.utils", ("compute_checksum", "no_such_name"))
    with pytest.raises(moto_overlay.MotoMismatch) as refusal:
        moto_overlay.check("5.2.5")
    assert "moto.s3.models.FakeBucket.get_permission" in str(refusal.value)
    assert "moto.s3.utils.no_such_name" in str(refusal.value)
    assert "compute_checksum" not in str(refusal.value)


def test_a_crash_at_the_start_shows_the_last_lines_of_the_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").write_text("raise RuntimeError('this flask is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    log = tmp_path / "aws.log"
    log.write_text("an earlier run's line\n")
    with pytest.raises(EmbeddedAwsError) as failure:
        EmbeddedAws(region=REGION, log=log).__enter__()
    assert "exit code 1" in str(failure.value)
    assert "this flask is broken" in str(failure.value)
    assert "earlier run" not in str(failure.value)
    assert len(str(failure.value).splitlines()) <= embedded.LOG_LINES + 1


def test_a_start_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.01)
    before = servers()
    with pytest.raises(EmbeddedAwsError, match="did not start within"):
        EmbeddedAws(region=REGION).__enter__()
    assert servers() <= before


def servers() -> set[int]:
    """The ids of the servers that this process started and that still run."""
    children = psutil.Process().children()
    return {child.pid for child in children if alive(child.pid) and "rehearsal.server" in " ".join(child.cmdline())}


def test_the_log_is_appended_to_and_says_what_was_asked(tmp_path: Path) -> None:
    log = tmp_path / "aws.log"
    log.write_text("before\n")
    with EmbeddedAws(region=REGION, log=log) as running:
        running.client("s3").list_buckets()
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert f"{ACCOUNT} s3:ListBuckets 200" in lines


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedAwsError, match=r"no-such-folder/aws\.log: No such file"):
        EmbeddedAws(region=REGION, log=tmp_path / "no-such-folder" / "aws.log").__enter__()


def test_importing_the_module_is_cheap() -> None:
    code = (
        "import sys, sagemaker_seed.rehearsal.embedded\n"
        "print(sorted({'boto3', 'botocore', 'moto', 'flask', 'werkzeug', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HOSTILE = {
    "AWS_PROFILE": "no-such-profile",
    "AWS_SESSION_TOKEN": "somebody-elses",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


def test_clients_read_nothing_of_the_users_configuration(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert aws.client("sts", "222222222222").get_caller_identity()["Account"] == "222222222222"
    assert aws.client("sts", region="us-west-2").meta.region_name == "us-west-2"
    aws.client("s3", "222222222222").list_buckets()
    assert aws.calls()[-1] == Call("s3", "ListBuckets", "222222222222", 200, False)


def test_a_child_process_finds_it_by_its_environment(aws: EmbeddedAws) -> None:
    code = "import boto3; s = boto3.client('sts'); print(s.get_caller_identity()['Account'], s.meta.region_name)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env=aws.child_environment({**os.environ, **HOSTILE}, "333333333333"),
        capture_output=True,
        text=True,
    )
    assert (done.stdout.split(), done.stderr) == (["333333333333", REGION], "")


def test_the_environment_keeps_a_process_off_the_network_and_the_users_files(aws: EmbeddedAws) -> None:
    environment = aws.environment("333333333333")
    assert environment["AWS_ENDPOINT_URL"] == aws.url
    assert environment["AWS_ACCESS_KEY_ID"] == "333333333333"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == REGION
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert "127.0.0.1" in environment["NO_PROXY"].split(",")


def test_the_journal_lists_calls_in_order_and_what_they_do(aws: EmbeddedAws) -> None:
    start = len(aws.calls())
    s3, bucket = aws.client("s3"), "journal-bucket"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    s3.head_object(Bucket=bucket, Key="key")
    with pytest.raises(s3.exceptions.ClientError):
        s3.head_object(Bucket=bucket, Key="none")
    aws.client("servicecatalog").search_products_as_admin()
    aws.client("sagemaker", "222222222222").create_model_package_group(ModelPackageGroupName="g")
    with pytest.raises(s3.exceptions.ClientError):
        aws.client("servicecatalog").delete_portfolio(Id="port-none")
    assert aws.calls()[start:] == [
        Call("s3", "CreateBucket", ACCOUNT, 200, True),
        Call("s3", "PutObject", ACCOUNT, 200, True),
        Call("s3", "HeadObject", ACCOUNT, 200, False),
        Call("s3", "HeadObject", ACCOUNT, 404, False),
        Call("servicecatalog", "SearchProductsAsAdmin", ACCOUNT, 200, False),
        Call("sagemaker", "CreateModelPackageGroup", "222222222222", 200, True),
        Call("servicecatalog", "DeletePortfolio", ACCOUNT, 400, True),
    ]
