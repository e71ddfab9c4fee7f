"""Jobs as scripts see them: folders, files, environment and arguments going in, results and failures coming out."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from pipeline_support import (
    INPUT,
    OUTPUT,
    Lab,
    Ran,
    channel,
    fail,
    get,
    join,
    packed,
    parameter,
    process,
    s3_input,
    s3_output,
    train,
)
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION

pytestmark = pytest.mark.slow

# Writes what the job was given to where it is uploaded from.
TELL = """
import json, os, sys
where = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].endswith("/out") else os.environ["SM_OUTPUT_DATA_DIR"]
base = os.environ["SAGEMAKER_BASE_DIR"]
files = {}
for folder, _, names in os.walk(base):
    for name in names:
        path = os.path.join(folder, name)
        if name != "sourcedir.tar.gz" and "archive" not in path:
            files[os.path.relpath(path, base)] = open(path).read()
host = json.loads([text for name, text in files.items() if name.endswith("resourceconfig.json")][0])["current_host"]
told = {"words": sys.argv[1:], "env": dict(os.environ), "files": files, "cwd": os.getcwd(), "base": base}
json.dump(told, open(os.path.join(where, f"told-{host}.json"), "w"))
"""


@pytest.fixture(scope="module")
def lab(aws: EmbeddedAws) -> Lab:
    return Lab(aws)


@pytest.fixture
def place(lab: Lab, request: pytest.FixtureRequest) -> str:
    """A prefix of the test's own."""
    return f"jobs/{request.node.name}"


def output_of(lab: Lab, place: str, archive: str = "output") -> dict[str, bytes]:
    """What is in an archive that a training job left."""
    (key,) = [key for key in lab.keys(f"{place}/models/") if key.endswith(f"/{archive}.tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(lab.bytes(key))) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


def trained(lab: Lab, place: str, script: str, **more: Any) -> Ran:
    return lab.run(train("T", lab.code(train=script), f"{lab.root}/{place}/models", **more))


# --- processing ---


def test_a_processing_job_gets_its_inputs_words_and_environment(lab: Lab, place: str) -> None:
    lab.put(f"{place}/in/a.csv", "1")
    lab.put(f"{place}/in/deep/b.csv", "2")
    lab.put(f"{place}/in/empty/", "")
    script = lab.put(f"{place}/code/tell.py", TELL)
    step = process(
        "P",
        ["python3", f"{INPUT}/code/tell.py"],
        f"{OUTPUT}/out",
        "--number",
        get("Parameters.Number"),
        f"s3://bucket{OUTPUT}/x",
        inputs=[s3_input("data", f"{lab.root}/{place}/in"), s3_input("code", script)],
        outputs=[s3_output("out", f"{lab.root}/{place}/out")],
        env={"WHERE": f"{INPUT}/data", "MODEL": "/opt/ml/model", "PLAIN": "/opt/mlx a/opt/ml/b"},
    )
    ran = lab.run(step, parameters=[parameter("Number", default="7")])
    assert ran.status == "Succeeded", ran.reason
    told = json.loads(lab.read(f"{place}/out/told-localhost.json"))
    base = told["base"]
    assert told["words"] == [
        f"{base}/processing/output/out",
        "--number",
        "7",
        f"s3://bucket{OUTPUT}/x",
    ]
    data = {name: text for name, text in told["files"].items() if name.startswith("processing/input/data/")}
    assert data == {"processing/input/data/a.csv": "1", "processing/input/data/deep/b.csv": "2"}
    assert told["env"]["WHERE"] == f"{base}/processing/input/data"
    assert (told["env"]["MODEL"], told["env"]["PLAIN"]) == (f"{base}/model", "/opt/mlx a/opt/ml/b")
    assert told["env"]["PROCESSING_JOB_ARN"] == ran.steps["P"]["Metadata"]["ProcessingJob"]["Arn"]
    assert told["env"]["AWS_ENDPOINT_URL"] == lab.aws.url
    assert told["env"]["AWS_REGION"] == REGION
    config = json.loads(told["files"]["config/processingjobconfig.json"])
    assert config["ProcessingJobName"] == ran.job("P")
    assert json.loads(told["files"]["config/resourceconfig.json"]) == {
        "current_host": "localhost",
        "hosts": ["localhost"],
    }


def test_a_job_sees_nothing_of_the_servers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_MINE", "secret")
    with EmbeddedAws(region=REGION) as own:
        lab = Lab(own)
        lab.run(process("P", f"env > {OUTPUT}/out/env", outputs=[s3_output("out", f"{lab.root}/out")]))
        seen = lab.read("out/env")
    assert "secret" not in seen
    assert str(Path.home()) not in [line.partition("=")[2] for line in seen.splitlines()]


def test_an_isolated_job_is_not_told_where_aws_is(lab: Lab, place: str) -> None:
    step = process(
        "P",
        f"env > {OUTPUT}/out/env",
        outputs=[s3_output("out", f"{lab.root}/{place}")],
        arguments={"NetworkConfig": {"EnableNetworkIsolation": True}},
    )
    assert lab.run(step).status == "Succeeded"
    assert "AWS_ENDPOINT_URL" not in lab.read(f"{place}/env")
    assert "AWS_ACCESS_KEY_ID" not in lab.read(f"{place}/env")


def test_a_job_can_call_aws_as_its_account(lab: Lab, place: str) -> None:
    code = (
        "import boto3, sys\n"
        "who = boto3.client('sts').get_caller_identity()['Account']\n"
        f"boto3.client('s3').put_object(Bucket='{lab.bucket}', Key='{place}/who', Body=who.encode())\n"
    )
    assert lab.run(process("P", ["python3", "-c", code])).status == "Succeeded"
    assert lab.read(f"{place}/who") == lab.account


def test_a_job_acts_as_its_role(lab: Lab, aws: EmbeddedAws, place: str) -> None:
    step = process(
        "P",
        f'printf "$AWS_ACCESS_KEY_ID" > {OUTPUT}/out/key',
        outputs=[s3_output("out", f"{lab.root}/{place}")],
        arguments={"RoleArn": lab.make_role("of-the-job", "sagemaker.amazonaws.com")},
    )
    assert lab.run(step).status == "Succeeded"
    who = aws.client("sts", lab.read(f"{place}/key")).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{lab.account}:assumed-role/of-the-job/SageMaker"


def test_a_role_that_is_not_there_or_elsewhere_fails_the_step(lab: Lab, aws: EmbeddedAws, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for role in (f"arn:aws:iam::{lab.account}:role/missing", Lab(aws).role):
        ran = lab.run(process("P", f'touch "{mark}"', arguments={"RoleArn": role}))
        said = ran.steps["P"]["FailureReason"]
        assert said.startswith(f"ClientError: Could not assume role {role}. Please ensure that the role exists and ")
        assert "allows principal 'sagemaker.amazonaws.com'" in said
        assert not mark.exists()
        assert ran.steps["P"]["Metadata"] == {}, "no job was made"


def test_outputs_are_uploaded_with_their_folders(lab: Lab, place: str) -> None:
    step = process(
        "P",
        f'cd {OUTPUT}/out; mkdir -p a/b; echo 1 > a/b/c; echo 2 > "d e"; : > empty',
        outputs=[s3_output("out", f"{lab.root}/{place}/"), s3_output("none", f"{lab.root}/{place}/none")],
    )
    assert lab.run(step).status == "Succeeded"
    assert lab.keys(place) == [f"{place}/a/b/c", f"{place}/d e", f"{place}/empty"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_inputs_are_dealt_among_the_machines(lab: Lab, place: str, count: int) -> None:
    for number in range(5):
        lab.put(f"{place}/in/part-{number}.csv", str(number))
    command = (
        'me=$(sed "s/.*current_host\\": \\"\\([^\\"]*\\).*/\\1/" /opt/ml/config/resourceconfig.json);'
        f"ls {INPUT}/all | wc -l > {OUTPUT}/out/all-$me; ls {INPUT}/dealt > {OUTPUT}/out/dealt-$me"
    )
    step = process(
        "P",
        command,
        hosts=get("Parameters.Count"),
        inputs=[
            s3_input("all", f"{lab.root}/{place}/in"),
            s3_input("dealt", f"{lab.root}/{place}/in", S3DataDistributionType="ShardedByS3Key"),
        ],
        outputs=[s3_output("out", f"{lab.root}/{place}/out")],
    )
    ran = lab.run(step, parameters=[parameter("Count", "Integer", count)])
    assert ran.status == "Succeeded", ran.reason
    keys = lab.keys(f"{place}/out/")
    dealt = [lab.read(key).split() for key in keys if "/dealt-" in key]
    assert [lab.read(key).strip() for key in keys if "/all-" in key] == ["5"] * count
    assert sorted(name for names in dealt for name in names) == [f"part-{number}.csv" for number in range(5)]
    assert len(dealt) == count
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_a_prefix_is_a_prefix_as_on_s3(lab: Lab, place: str) -> None:
    for name in ("data/x", "data2/y", "data.csv", "other/z"):
        lab.put(f"{place}/{name}", name)
    step = process(
        "P",
        f"cd {INPUT}; find . -type f | sort > {OUTPUT}/out/found",
        inputs=[s3_input("near", f"{lab.root}/{place}/data"), s3_input("under", f"{lab.root}/{place}/data/")],
        outputs=[s3_output("out", f"{lab.root}/{place}/out")],
    )
    ran = lab.run(step)
    assert ran.status == "Succeeded", ran.reason
    assert lab.read(f"{place}/out/found").split() == ["./near/data.csv", "./near/data2/y", "./near/x", "./under/x"]


# --- what goes wrong ---


SAYS: dict[str, tuple[str, str]] = {
    "the last line": ("echo one; echo two >&2; echo; exit 7", "AlgorithmError: two, exit code: 7"),
    "nothing": ("exit 2", "AlgorithmError: See job logs for more information, exit code: 2"),
    "a message": (
        "echo noise; printf 'column a: the rule' > /opt/ml/output/message; exit 1",
        "AlgorithmError: column a: the rule, exit code: 1",
    ),
    "an empty message": ("echo noise; : > /opt/ml/output/message; exit 1", "AlgorithmError: noise, exit code: 1"),
    "a signal": ("kill -TERM $$", "AlgorithmError: See job logs for more information, exit code: 143"),
    "bytes": (r"printf 'a\377b' > /opt/ml/output/message; exit 1", "AlgorithmError: a�b, exit code: 1"),
    "a link": ("ln -s /etc/passwd /opt/ml/output/message; exit 1", "AlgorithmError: See job logs"),
    "no program": ("", "ClientError: The program no-such-program of the container's entrypoint is not on this machine"),
}


@pytest.mark.parametrize("case", SAYS)
def test_a_failure_says_what_the_container_said(lab: Lab, case: str) -> None:
    command, reason = SAYS[case]
    ran = lab.run(process("P", command or ["no-such-program"]))
    assert ran.steps["P"]["FailureReason"].startswith(reason)
    assert ran.steps["P"]["FailureReason"].count("\n") == 0
    assert ran.reason == f"Step failure: One or multiple steps failed. P: {ran.steps['P']['FailureReason']}"


def test_a_long_message_is_cut(lab: Lab) -> None:
    ran = lab.run(process("P", "head -c 5000 /dev/zero | tr '\\0' x > /opt/ml/output/message; exit 1"))
    assert 1000 < len(ran.steps["P"]["FailureReason"]) <= 1024
    assert len(ran.reason) <= 1300


def test_a_success_may_say_something_too(lab: Lab) -> None:
    ran = lab.run(process("P", "printf fine > /opt/ml/output/message"))
    job = lab.sagemaker.describe_processing_job(ProcessingJobName=ran.job("P"))
    assert (job["ProcessingJobStatus"], job["ExitMessage"]) == ("Completed", "fine")


def test_a_job_that_takes_too_long_is_ended(lab: Lab, tmp_path: Path) -> None:
    begun = time.monotonic()
    ran = lab.run(process("P", "sleep 60", arguments={"StoppingCondition": {"MaxRuntimeInSeconds": 1}}))
    assert "ran for longer than MaxRuntimeInSeconds (1) and was stopped" in ran.steps["P"]["FailureReason"]
    assert time.monotonic() - begun < 30


def test_when_one_machine_fails_the_others_end(lab: Lab) -> None:
    begun = time.monotonic()
    second = """grep -q 'current_host": "[0-9.]*[.]2"' /opt/ml/config/resourceconfig.json"""
    command = second + " && { echo mine; exit 4; }; sleep 60"
    ran = lab.run(process("P", command, hosts=2))
    assert ran.steps["P"]["FailureReason"] == "AlgorithmError: mine, exit code: 4"
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ROOT/missing", 'ClientError: No S3 objects found under S3 URL "ROOT/missing"'),
        ("s3://no-such-bucket-at-all/x", "ClientError: Data download failed for s3://no-such-bucket-at-all/x: NoSuch"),
        ("http://x/y", "ClientError: 'http://x/y' is not an S3 URI (s3://bucket/key)"),
    ],
)
def test_an_input_that_is_not_there_fails_before_anything_runs(lab: Lab, tmp_path: Path, uri: str, reason: str) -> None:
    mark = tmp_path / "mark"
    ran = lab.run(process("P", f'touch "{mark}"', inputs=[s3_input("i", uri.replace("ROOT", lab.root))]))
    assert ran.steps["P"]["FailureReason"].startswith(reason.replace("ROOT", lab.root))
    assert not mark.exists()


def test_an_output_that_cannot_be_stored_fails(lab: Lab) -> None:
    step = process("P", f"touch {OUTPUT}/out/x", outputs=[s3_output("out", "s3://no-such-bucket-at-all/x")])
    ran = lab.run(step)
    assert ran.steps["P"]["FailureReason"].startswith("ClientError: Upload to s3://no-such-bucket-at-all/x/x failed")


@pytest.mark.parametrize("key", ["../out", "a/../../out", "a//b", "a/./b", "\\out"])
def test_a_key_that_leads_out_of_its_folder_is_refused(lab: Lab, place: str, key: str) -> None:
    lab.put(f"{place}/{key}", "x")
    ran = lab.run(process("P", inputs=[s3_input("i", f"{lab.root}/{place}/")]))
    assert "is not a safe name for a file" in ran.steps["P"]["FailureReason"]


def test_keys_that_a_folder_cannot_hold_fail_with_their_reason(lab: Lab, place: str) -> None:
    lab.put(f"{place}/a", "a file")
    lab.put(f"{place}/a/b", "and a folder")
    ran = lab.run(process("P", inputs=[s3_input("i", f"{lab.root}/{place}/")]))
    assert ran.steps["P"]["FailureReason"].startswith(f"ClientError: Data download failed for {lab.root}/{place}/: ")


def test_a_link_out_of_the_output_is_not_uploaded(lab: Lab, place: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    step = process("P", f"ln -s {tmp_path}/secret {OUTPUT}/out/x", outputs=[s3_output("out", f"{lab.root}/{place}")])
    ran = lab.run(step)
    assert ran.steps["P"]["FailureReason"] == "ClientError: x is a link that leads out of the output folder"
    assert lab.keys(place) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"AppSpecification": {"ImageUri": "i"}}, "The embedded AWS runs no images"),
        ({"ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}}}, "Missing required parameter"),
        ({"Environment": {"N": get("Parameters.N")}}, "Invalid type for parameter Environment.N"),
        (
            {"ProcessingResources": {"ClusterConfig": {"InstanceType": get("Parameters.T"), "InstanceCount": 1}}},
            "'ml.tiny', which is not one of the values that SageMaker has for ProcessingInstanceType",
        ),
    ],
)
def test_arguments_that_sagemaker_would_refuse_fail_the_step(lab: Lab, arguments: Any, reason: str) -> None:
    cluster = arguments.get("ProcessingResources", {}).get("ClusterConfig")
    if cluster and "InstanceType" in cluster:
        cluster = {"VolumeSizeInGB": 1, **cluster}
        arguments = {"ProcessingResources": {"ClusterConfig": cluster}}
    ran = lab.run(
        process("P", arguments=arguments),
        parameters=[parameter("N", "Integer", 1), parameter("T", default="ml.tiny")],
    )
    assert ran.status == "Failed"
    assert reason in ran.steps["P"]["FailureReason"]
    assert ran.steps["P"]["FailureReason"].startswith("ClientError: ")


def test_what_is_refused_in_a_definition_is_refused_in_a_parameter_too(lab: Lab) -> None:
    step = process("P", inputs=[s3_input("i", "s3://b/c", LocalPath=get("Parameters.P"))])
    ran = lab.run(step, parameters=[parameter("P", default="/etc")])
    assert 'does not implement ProcessingInputs[0].S3Input.LocalPath = "/etc"' in ran.steps["P"]["FailureReason"]


def test_the_log_is_where_cloudwatch_has_it(lab: Lab) -> None:
    ran = lab.run(process("P", "echo first; echo second >&2; exit 1"))
    logs = lab.aws.client("logs", lab.account)
    streams = logs.describe_log_streams(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=f"{ran.job('P')}/"
    )["logStreams"]
    events = logs.get_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamName=streams[0]["logStreamName"], startFromHead=True
    )["events"]
    assert (len(streams), [event["message"] for event in events]) == (1, ["first", "second"])


# --- training ---


def test_a_training_job_gets_channels_hyperparameters_and_environment(lab: Lab, place: str) -> None:
    lab.put(f"{place}/train/a.csv", "1")
    lab.put(f"{place}/schema.json", "{}")
    ran = trained(
        lab,
        place,
        TELL,
        hyperparameters={
            "num_round": "3",
            "eta": "0.1",
            "name": "a b",
            "quoted": '"7"',
            "flag": "true",
            "rows": "[1, 2]",
            "k": "x",
        },
        channels=[channel("train", f"{lab.root}/{place}/train"), channel("schema", f"{lab.root}/{place}/schema.json")],
        arguments={"Environment": {"MINE": "/opt/ml/code"}},
    )
    assert ran.status == "Succeeded", ran.reason
    told = json.loads(output_of(lab, place)["told-localhost.json"])
    base, env = told["base"], told["env"]
    assert told["words"] == [
        *("--eta", "0.1"),
        *("--flag", "True"),
        *("-k", "x"),
        *("--name", "a b"),
        *("--num_round", "3"),
        *("--quoted", "7"),
        *("--rows", "[1, 2]"),
    ]
    assert json.loads(env["SM_HPS"]) == {
        "num_round": 3,
        "eta": 0.1,
        "name": "a b",
        "quoted": "7",
        "flag": True,
        "rows": [1, 2],
        "k": "x",
    }
    assert (env["SM_HP_NUM_ROUND"], env["SM_HP_FLAG"]) == ("3", "True")
    assert env["SM_CHANNEL_TRAIN"] == f"{base}/input/data/train"
    assert json.loads(env["SM_CHANNELS"]) == ["schema", "train"]
    assert (env["SM_HOSTS"], env["SM_CURRENT_HOST"]) == ('["localhost"]', "localhost")
    assert (env["SM_MODEL_DIR"], env["SM_OUTPUT_DATA_DIR"]) == (f"{base}/model", f"{base}/output/data")
    assert env["SM_USER_ENTRY_POINT"] == "train.py"
    assert env["TRAINING_JOB_NAME"] == ran.job("T")
    assert (env["MINE"], told["cwd"]) == (f"{base}/code", f"{base}/code")
    files = told["files"]
    assert (files["input/data/train/a.csv"], files["input/data/schema/schema.json"]) == ("1", "{}")
    hyperparameters = json.loads(files["input/config/hyperparameters.json"])
    assert hyperparameters["num_round"] == "3"
    assert all(isinstance(value, str) for value in hyperparameters.values())
    assert json.loads(files["input/config/inputdataconfig.json"])["train"]["TrainingInputMode"] == "File"


def test_a_hyperparameter_that_is_no_text_fails_as_on_aws(lab: Lab, place: str) -> None:
    step = train("T", lab.code(train=""), lab.root, hyperparameters={"rounds": get("Parameters.Rounds")})
    rounds = [parameter("Rounds", "Integer", 3)]
    ran = lab.run(step, parameters=rounds)
    assert "Invalid type for parameter HyperParameters.rounds, value: 3" in ran.steps["T"]["FailureReason"]
    script = "import sys; assert sys.argv[1:] == ['--rounds', '3'], sys.argv"
    joined = {"rounds": join(get("Parameters.Rounds"))}
    step = train("T", lab.code(train=script), f"{lab.root}/{place}/models", hyperparameters=joined)
    assert lab.run(step, parameters=rounds).status == "Succeeded"


def test_the_model_and_the_output_come_back_as_archives(lab: Lab, place: str) -> None:
    script = (
        "import os, pathlib\n"
        "model = pathlib.Path(os.environ['SM_MODEL_DIR'])\n"
        "(model / 'code').mkdir()\n"
        "(model / 'code' / 'inference.py').write_text('x')\n"
        "(model / 'm.ubj').write_text('m')\n"
        "pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR'], 'curve.json').write_text('[]')\n"
    )
    step = train("T", lab.code(train=script), f"{lab.root}/{place}/models/")
    ran = lab.run(step, fail("Say", get("Steps.T.ModelArtifacts.S3ModelArtifacts")))
    assert output_of(lab, place, "model") == {"code/inference.py": b"x", "m.ubj": b"m"}
    assert output_of(lab, place) == {"curve.json": b"[]"}
    uri = f"{lab.root}/{place}/models/{ran.job('T')}/output/model.tar.gz"
    assert ran.steps["Say"]["FailureReason"] == uri
    job = lab.sagemaker.describe_training_job(TrainingJobName=ran.job("T"))
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": uri}
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["HyperParameters"]["sagemaker_program"] == "train.py"


def test_several_machines_know_each_other_and_can_talk(lab: Lab, place: str) -> None:
    for number in range(4):
        lab.put(f"{place}/in/{number}.csv", str(number))
    script = """
import json, os, pathlib, socket, time
hosts, me = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
mine = sorted(p.name for p in pathlib.Path(os.environ["SM_CHANNEL_DATA"]).iterdir())
if me == hosts[0]:
    with socket.create_server((me, 18765)) as server:
        other = json.loads(server.accept()[0].makefile().readline())
    pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "met.json").write_text(json.dumps([hosts, mine, other]))
    pathlib.Path(os.environ["SM_MODEL_DIR"], "model").write_text("of the first")
else:
    for attempt in range(200):
        try:
            with socket.create_connection((hosts[0], 18765)) as talk:
                talk.sendall(json.dumps(mine).encode() + b"\\n")
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    pathlib.Path(os.environ["SM_MODEL_DIR"], "model").write_text("of the second")
"""
    data = channel("data", f"{lab.root}/{place}/in", S3DataDistributionType="ShardedByS3Key")
    ran = trained(lab, place, script, channels=[data], hosts=2)
    assert ran.status == "Succeeded", ran.reason
    hosts, first, second = json.loads(output_of(lab, place)["met.json"])
    assert len(set(hosts)) == 2
    assert (first, second) == (["0.csv", "2.csv"], ["1.csv", "3.csv"])
    assert output_of(lab, place, "model") == {"model": b"of the first"}


FAILS: dict[str, tuple[str, str]] = {
    "exit code": ("raise SystemExit(3)", "AlgorithmError: See job logs for more information, exit code: 3"),
    "exception": ("raise ValueError('no column x')", "AlgorithmError: ValueError: no column x, exit code: 1"),
    "failure file": (
        "import os, pathlib, sys\n"
        "pathlib.Path(os.environ['SM_MODEL_DIR']).parent.joinpath('output/failure').write_text('column a: the rule')\n"
        "sys.exit('something else')",
        "AlgorithmError: column a: the rule, exit code: 1",
    ),
    "no syntax": ("def", "AlgorithmError: SyntaxError: "),
}


@pytest.mark.parametrize("case", FAILS)
def test_a_training_that_fails_says_why_and_leaves_no_model(lab: Lab, place: str, case: str) -> None:
    script, reason = FAILS[case]
    ran = trained(lab, place, script)
    assert ran.steps["T"]["FailureReason"].startswith(reason)
    assert lab.keys(f"{place}/models") == []
    job = lab.sagemaker.describe_training_job(TrainingJobName=ran.job("T"))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == ran.steps["T"]["FailureReason"]


@pytest.mark.parametrize("program", ["", " ", '""'])
def test_an_empty_program_is_an_error_as_in_the_container(lab: Lab, place: str, program: str) -> None:
    ran = trained(lab, place, "", program=program)
    assert ran.steps["T"]["FailureReason"].startswith("AlgorithmError: Empty module name: ")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("other.py", "AlgorithmError: No module 'other.py' in "),
        ("../train.py", "ClientError: '../train.py' from sagemaker_program is not a safe name"),
        ("/train.py", "ClientError: '/train.py' from sagemaker_program is not a safe name"),
        ("train.sh", "ClientError: The embedded AWS runs scripts in Python: sagemaker_program 'train.sh' must end in"),
    ],
)
def test_a_program_that_is_not_in_the_archive(lab: Lab, place: str, program: str, reason: str) -> None:
    assert trained(lab, place, "", program=program).steps["T"]["FailureReason"].startswith(reason)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    return archive.getvalue()


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "up": (member("../train.py"), "'../train.py' from"),
    "absolute": (member("/tmp/train.py"), "'/tmp/train.py' from"),
    "link": (member("train.py", tarfile.SYMTYPE, "/etc/passwd"), "'train.py' in"),
    "hard link": (member("train.py", tarfile.LNKTYPE, "../../x"), "'train.py' in"),
    "device": (member("train.py", tarfile.CHRTYPE), "'train.py' in"),
    "no archive": (b"hello", "is not a readable tar.gz"),
    "half": (packed({"train.py": "x" * 9999})[:60], "is not a readable tar.gz"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_would_leave_its_folder_is_refused(lab: Lab, place: str, case: str) -> None:
    content, reason = ARCHIVES[case]
    source = lab.put(f"{place}/sourcedir.tar.gz", content)
    ran = lab.run(train("T", source, f"{lab.root}/{place}/models"))
    assert ran.status == "Failed"
    said = ran.steps["T"]["FailureReason"]
    assert said.startswith("ClientError: "), said
    assert reason in said


def test_code_in_folders_can_be_imported(lab: Lab, place: str) -> None:
    archive = packed({"./train.py": "import lib.help", "lib/__init__.py": "", "lib/help.py": "print('hello')"})
    source = lab.put(f"{place}/sourcedir.tar.gz", archive)
    ran = lab.run(train("T", source, f"{lab.root}/{place}/models"))
    assert ran.status == "Succeeded", ran.reason


def test_a_source_must_be_one_object(lab: Lab, place: str) -> None:
    for name in ("a", "b"):
        lab.put(f"{place}/{name}", "x")
    ran = lab.run(train("T", f"{lab.root}/{place}/", f"{lab.root}/{place}/models"))
    assert "names 2 objects; expected one tar.gz" in ran.steps["T"]["FailureReason"]


def test_a_chosen_folder_keeps_what_the_jobs_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_SEED_JOBS_FOLDER", str(tmp_path / "jobs"))
    with EmbeddedAws(region=REGION) as own:
        lab = Lab(own)
        ran = lab.run(process("P", f"echo kept > {OUTPUT}/out/x", outputs=[s3_output("out", f"{lab.root}/o")]))
    folder = tmp_path / "jobs" / ran.job("P")
    assert next(folder.rglob("x")).read_text() == "kept\n"
    assert list((tmp_path / "jobs").iterdir()) == [folder]


def test_what_a_job_had_is_gone_when_it_has_ended(lab: Lab, tmp_path: Path) -> None:
    for command in ("pwd > $MARK", "pwd > $MARK; exit 1"):
        mark = tmp_path / "mark"
        lab.run(process("P", command, env={"MARK": str(mark)}))
        assert "pipelines-" in mark.read_text()
        assert not Path(mark.read_text().strip()).exists()
