"""The security gate: each rule finds the defect that it is for, on its line; what is accepted says why; reports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sagemaker_seed.rehearsal.builds.python import uv
from seed_support.baking import scrubbed
from support import ROOT

SEED = ROOT / "<<cookiecutter.project_slug>>"
SCAN = SEED / "security" / "scan.py"
SOUND = (ROOT / "tests" / "sound.yaml").read_text()
NOTHING = '{"accepted": []}'

pytestmark = pytest.mark.slow

READS = """Sid: Objects
              Effect: Allow
              Action: s3:GetObject
"""
ROOT_OF_ACCOUNT = '{AWS: !Sub "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}'
KEPT = """    UpdateReplacePolicy: Retain
    Properties:
      BucketEncryption:
"""
# Rule -> what is planted: a text of the sound template, what stands there instead, where the line to be named begins.
PLANTED: Mapping[str, tuple[str, str, str]] = {
    "IAM_ACTION_WILDCARD": (READS, READS.replace("s3:GetObject", "[s3:*]"), "Action: [s3:*]"),
    "IAM_RESOURCE_WILDCARD": (
        'Resource: !Sub "arn:${AWS::Partition}:iam::',
        'Resource: ["*"] # ',
        'Resource: ["*"]',
    ),
    "IAM_ALLOW_BY_EXCLUSION": ("            Action: iam:PassRole", "            NotAction: iam:PassRole", "NotAction"),
    "IAM_PASS_ROLE": (
        "iam:PassedToService: sagemaker",
        "aws:PrincipalTag/of: sagemaker",
        "StringEquals: {aws:PrincipalTag",
    ),
    "IAM_ADMINISTRATOR": (
        "- !Ref Policy",
        "- !Sub arn:${AWS::Partition}:iam::aws:policy/AdministratorAccess",
        "AdministratorAccess",
    ),
    "IAM_LASTING_CREDENTIALS": (
        "\nResources:\n",
        "\nResources:\n  Person:\n    Type: AWS::IAM::User\n",
        "Type: AWS::IAM::User",
    ),
    "IAM_TRUSTS_ANYBODY": (
        f"Principal: {ROOT_OF_ACCOUNT}\n            Action: sts",
        'Principal: {AWS: ["*"]}\n            Action: sts',
        'Principal: {AWS: ["*"]}',
    ),
    "PUBLIC_ACCESS": (
        f"Principal: {ROOT_OF_ACCOUNT}\n              Action: s3:Get",
        'Principal: "*"\n              Action: s3:Get',
        "Sid: Reader",
    ),
    "BUCKET_ENCRYPTION": (
        "{SSEAlgorithm: aws:kms, KMSMasterKeyID: !GetAtt Key.Arn}",
        "{SSEAlgorithm: AES256}",
        "ServerSideEncryptionByDefault",
    ),
    "BUCKET_PUBLIC_ACCESS_BLOCK": ("BlockPublicPolicy: true", "BlockPublicPolicy: false", "BlockPublicPolicy"),
    "BUCKET_OWNERSHIP": ("BucketOwnerEnforced", "ObjectWriter", "ObjectWriter"),
    "BUCKET_VERSIONS": ("Status: Enabled", "Status: Suspended", "Suspended"),
    "BUCKET_TLS_ONLY": (
        'SecureTransport: "false"',
        'SecureTransport: "true"',
        'Bool: {aws:SecureTransport: "true"',
    ),
    "KEY_ROTATION": (
        "      EnableKeyRotation: true\n",
        "      Enabled: true\n",
        "Properties:\n      Enabled: true",
    ),
    "TOPIC_ENCRYPTION": (
        "KmsMasterKeyId: !Ref Key",
        "DisplayName: Alarms",
        "Properties:\n      DisplayName: Alarms",
    ),
    "QUEUE_ENCRYPTION": ("SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false", "SqsManagedSseEnabled"),
    "STATEFUL_DELETION": (
        KEPT,
        KEPT.replace("UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete"),
        "UpdateReplacePolicy: Delete\n    Properties:\n      BucketEncryption",
    ),
    "LOG_RETENTION": (
        "      RetentionInDays: 30\n",
        "      LogGroupName: logs\n",
        "Properties:\n      LogGroupName: logs",
    ),
    "BUILD_ENCRYPTION": ("      EncryptionKey: !GetAtt Key.Arn\n", "", "Properties:\n      ServiceRole"),
    "BUILD_PRIVILEGED": ("PrivilegedMode: false", "PrivilegedMode: true", "PrivilegedMode"),
    "BUILD_LOGS": ("Status: ENABLED", "Status: DISABLED", "DISABLED"),
    "PLAINTEXT_SECRET": ("Type: SECRETS_MANAGER", "Type: PLAINTEXT", "PLAINTEXT"),
    "SECRET_PARAMETER": ("    NoEcho: true\n", '    NoEcho: true\n    Default: "1234"\n', 'Default: "1234"'),
    "PIPELINE_ENCRYPTION": ("        EncryptionKey: {Type: KMS, Id: !GetAtt Key.Arn}\n", "", "ArtifactStore:"),
    "MACRO": ("\nParameters:\n", "\nTransform: AWS::LanguageExtensions\nParameters:\n", "Transform"),
    "MODEL_NETWORK": (
        "EnableNetworkIsolation: true\n      PrimaryContainer",
        "EnableNetworkIsolation: false\n      PrimaryContainer",
        "EnableNetworkIsolation: false",
    ),
    "CAPTURE_ENCRYPTION": (
        "        KmsKeyId: !Ref Key\n        CaptureOptions",
        "        CaptureOptions",
        "DataCaptureConfig:",
    ),
    "ASYNC_OUTPUT_ENCRYPTION": (
        "          KmsKeyId: !Ref Key\n\n  Monitor",
        "\n  Monitor",
        "OutputConfig:\n          S3OutputPath",
    ),
    "MONITOR_ISOLATION": (
        "EnableNetworkIsolation: true\n      JobResources",
        "EnableNetworkIsolation: false\n      JobResources",
        "EnableNetworkIsolation: false",
    ),
    "NOTEBOOK_ACCESS": ("RootAccess: Disabled", "RootAccess: Enabled", "RootAccess"),
    "NETWORK_OPEN": ("CidrIp: 10.0.0.0/8", "CidrIp: 0.0.0.0/0", "0.0.0.0/0"),
    "SUBNET_PUBLIC_ADDRESSES": ("MapPublicIpOnLaunch: false", "MapPublicIpOnLaunch: true", "MapPublicIpOnLaunch"),
    "E3006": ("Type: AWS::SNS::TopicPolicy", "Type: AWS::SNS::TopikPolicy", "TopikPolicy"),
    "E3012": (
        "InitialSamplingPercentage: 10",
        "InitialSamplingPercentage: ten",
        "InitialSamplingPercentage",
    ),
}
# A defect in a branch that the template's defaults do not take, and one that no metadata may hide.
HIDDEN = ("KEY_ROTATION", "      EnableKeyRotation: true\n", "      EnableKeyRotation: !If [IsShared, false, true]\n")
SILENCED = SOUND.replace(
    "Parameters:\n", "Metadata: {cfn-lint: {config: {ignore_checks: [E3012]}}}\n\nParameters:\n"
).replace(*PLANTED["E3012"][:2])


@dataclass(frozen=True)
class Gate:
    """The gate in an environment with what its requirements pin, and nothing else."""

    python: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs scan.py in the folder."""
        command = [str(self.python), str(SCAN), *map(str, words)]
        env = scrubbed(PYTHONPYCACHEPREFIX=str(self.python.parents[1] / "bytecode"), **environment)
        env.pop("PYTHONDONTWRITEBYTECODE")  # the linter takes seconds to compile
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def file(self, name: str, text: str) -> Path:
        """Writes a file into the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def results(self, *words: str | Path, accepted: str = NOTHING) -> dict[str, Any]:
        """The results of a scan, as JSON."""
        done = self.run(*words, "--accepted", self.file("accepted.json", accepted), "--json", "results.json")
        assert done.returncode in {0, 1}, done.stderr
        found: dict[str, Any] = json.loads((self.folder / "results.json").read_text())
        assert (done.returncode == 0) == (found["outcome"] == "passed") == (not found["findings"])
        return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gate") / "python"
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
    install = [uv(), "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), "--require-hashes"]
    subprocess.run([*install, "-r", str(SEED / "requirements-security.txt")], check=True)
    return home / "bin" / "python"


@pytest.fixture
def gate(environment: Path, tmp_path: Path) -> Gate:
    return Gate(environment, tmp_path)


@pytest.fixture(scope="module")
def planted(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What is found in each of the templates with a defect, by the rule that the defect is for."""
    gate = Gate(environment, tmp_path_factory.mktemp("planted"))
    for rule, (old, new, _) in PLANTED.items():
        assert SOUND.count(old) == 1, f"{rule}: {SOUND.count(old)} times in the sound template: {old}"
        gate.file(f"{rule}.yaml", SOUND.replace(old, new))
    found = gate.results(*[f"{rule}.yaml" for rule in PLANTED])["findings"]
    return {rule: [f for f in found if f["file"] == f"{rule}.yaml"] for rule in PLANTED}


def line(text: str, mark: str) -> int:
    """The line on which ``mark`` begins, which must be in ``text`` once."""
    assert text.count(mark) == 1, mark
    return text[: text.index(mark)].count("\n") + 1


@pytest.mark.parametrize("rule", PLANTED)
def test_each_rule_finds_what_it_is_for_on_its_line(rule: str, planted: dict[str, list[dict[str, Any]]]) -> None:
    old, new, mark = PLANTED[rule]
    found = {(finding["rule"], finding["line"]) for finding in planted[rule]}
    assert (rule, line(SOUND.replace(old, new), mark)) in found
    assert {other for other, _ in found if other.isupper() and "_" in other} <= {rule}, "another rule of ours is broken"


def test_no_rule_is_without_a_defect_that_it_finds(gate: Gate) -> None:
    results = gate.results(gate.file("sound.yaml", SOUND))
    assert results["findings"] == []
    assert set(results["rules"]) == {rule for rule in PLANTED if "_" in rule or rule == "MACRO"}
    assert results["tools"].keys() == {"cfn-lint", "cfn-guard-rs"}


def test_one_line_names_file_line_rule_resource_and_what_to_do(gate: Gate) -> None:
    rule, old, new = HIDDEN
    text = SOUND.replace(old, new)
    done = gate.run(gate.file("hidden.yaml", text), "--accepted", gate.file("none.json", NOTHING))
    where = f"{gate.folder}/hidden.yaml:{line(text, new.strip())}"
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{where}: {rule} Key: is never rotated: set EnableKeyRotation",
        f"1 findings, 0 accepted, in {gate.folder}/hidden.yaml",
    ]


def test_what_a_stage_does_not_have_is_not_found_there(gate: Gate) -> None:
    rule, old, new = HIDDEN
    template = gate.file("hidden.yaml", SOUND.replace(old, new))
    for shared, found in (("no", []), ("yes", [rule])):
        config = gate.file("stage.json", json.dumps({"Parameters": {"Shared": shared}}))
        assert [f["rule"] for f in gate.results(template, "--config", config)["findings"]] == found


def test_nothing_in_a_template_or_beside_it_silences_the_linter(gate: Gate) -> None:
    gate.file(".cfnlintrc", "ignore_checks: [E3012]\n")
    found = gate.results(gate.file("silenced.yaml", SILENCED))["findings"]
    assert [finding["rule"] for finding in found] == ["E3012"]


def test_a_template_that_cannot_be_read_is_a_finding(gate: Gate) -> None:
    found = gate.results(gate.file("broken.yaml", "Resources: [\n"), gate.file("sound.yaml", SOUND))["findings"]
    assert {(finding["rule"], Path(finding["file"]).name) for finding in found} == {("E0000", "broken.yaml")}


MANY = [f"Choice{number}" for number in range(9)]


def test_each_of_many_conditions_falls_out_both_ways(gate: Gate) -> None:
    """Nine choices are too many to look at all ways in which they fall out together."""
    rule, old, _ = HIDDEN
    parameters = "".join(f"  {name}: {{Type: String, Default: a, AllowedValues: [a, b]}}\n" for name in MANY)
    conditions = "".join(f"  Is{name}: !Equals [!Ref {name}, b]\n" for name in MANY)
    tags = "".join(f"        - !If [Is{name}, {{Key: {name}, Value: b}}, !Ref AWS::NoValue]\n" for name in MANY[:-1])
    broken = f"      EnableKeyRotation: !If [Is{MANY[-1]}, false, true]\n      Tags:\n{tags}"
    text = SOUND.replace(old, broken)
    text = text.replace("Parameters:\n", f"Parameters:\n{parameters}", 1)
    text = text.replace("Conditions:\n", f"Conditions:\n{conditions}", 1)
    found = gate.results(gate.file("many.yaml", text))["findings"]
    assert [(finding["rule"], finding["resource"]) for finding in found] == [(rule, "Key")]


WITHOUT_GUARD = """
import sys
sys.modules["cfn_guard_rs"] = None
sys.path.insert(0, {folder!r})
import scan
scan._GUARDED = False
sys.exit(scan.main(sys.argv[1:]))
"""


def test_where_guard_has_no_build_the_linter_is_all_and_that_is_said(gate: Gate) -> None:
    rule, old, new = HIDDEN
    template = gate.file("hidden.yaml", SOUND.replace(old, new))
    accepted = gate.file("accepted.json", json.dumps({"accepted": [ACCEPTED]}))
    code = WITHOUT_GUARD.format(folder=str(SCAN.parent))
    words = [str(template), "--accepted", str(accepted), "--json", "r.json", "--junit", "r.xml"]
    command = [str(gate.python), "-c", code, *words]
    done = subprocess.run(command, cwd=gate.folder, env=scrubbed(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rules are NOT applied: cfn-guard-rs has no build for this Python" in done.stdout
    results = json.loads((gate.folder / "r.json").read_text())
    assert (results["rules"], rule in results["skipped"]) == ([], True)
    assert set(results["tools"]) == {"cfn-lint"}
    skipped = ElementTree.parse(gate.folder / "r.xml").findall("./testcase/skipped")
    assert len(skipped) == len(results["skipped"])
    bad = gate.run(gate.file("bad.yaml", SILENCED), "--accepted", gate.file("none.json", NOTHING))
    assert bad.returncode == 1, "the linter still says what it finds"


ACCEPTED = {"rule": "KEY_ROTATION", "resource": "Key", "reason": "It signs for a day."}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ACCEPTED, None),
        (ACCEPTED | {"expires": "2999-12-31", "file": "hidden.yaml"}, None),
        (ACCEPTED | {"reason": " "}, "has no reason: say which rule is accepted for which resource, and why"),
        (ACCEPTED | {"expires": "2020-01-31"}, "was accepted until 2020-01-31: mend it, or decide again"),
        (ACCEPTED | {"expires": "soon"}, "expires 'soon' is no date such as 2027-01-31"),
        (ACCEPTED | {"resource": "Bucket"}, "accepts nothing: there is no such finding (any more); take it out"),
        (ACCEPTED | {"file": "other.yaml"}, "accepts nothing: there is no such finding (any more); take it out"),
        (
            ACCEPTED | {"why": "x"},
            "why is not known: an entry has rule, resource, reason, and if wanted file and expires",
        ),
    ],
)
def test_what_is_accepted_says_why_and_for_how_long(gate: Gate, entry: dict[str, str], said: str | None) -> None:
    rule, old, new = HIDDEN
    text = json.dumps({"accepted": [entry]}, indent=2)
    results = gate.results(gate.file("hidden.yaml", SOUND.replace(old, new)), accepted=text)
    mistakes = {(f["line"], f["message"]) for f in results["findings"] if f["rule"] == "ACCEPTED"}
    assert mistakes == ({(line(text, '"rule"'), said)} if said else set())
    assert [f["reason"] for f in results["accepted"]] == ([] if said else [entry["reason"]])
    assert [f["rule"] for f in results["findings"] if f["rule"] != "ACCEPTED"] == ([rule] if said else [])


def test_every_rule_is_a_case_of_the_junit_report(gate: Gate) -> None:
    old, new, _ = PLANTED["BUILD_LOGS"]
    template = gate.file("two.yaml", SOUND.replace(old, new).replace(*HIDDEN[1:]))
    accepted = gate.file("accepted.json", json.dumps({"accepted": [ACCEPTED]}))
    gate.run(template, "--accepted", accepted, "--junit", "results.xml")
    cases = {case.attrib["name"]: case for case in ElementTree.parse(gate.folder / "results.xml").iter("testcase")}
    assert len(cases) == len([rule for rule in PLANTED if not rule.startswith("E3")])
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {"BUILD_LOGS"}
    assert {name for name, case in cases.items() if case.find("skipped") is not None} == {"KEY_ROTATION"}
    assert "It signs for a day." in str(cases["KEY_ROTATION"].find("skipped").attrib)  # type: ignore[union-attr]


def test_the_product_templates_pass_and_the_seeds_own_do_in_both_stages(gate: Gate) -> None:
    templates = sorted((ROOT / "product" / "cloudformation").glob("*.yaml"))
    done = gate.run(*templates, "--accepted", ROOT / "product" / "cloudformation" / "accepted.json")
    assert done.returncode == 0, done.stdout


def test_without_a_template_it_says_what_is_missing(gate: Gate) -> None:
    done = gate.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "scan.py: template-export.yml is not there: give one (see --help)\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"Parameters": {},}', "JSONDecodeError: "),
        ('{"Tags": {}}', "KeyError: 'Parameters'"),
        ("[1]", "TypeError: "),
        ('{"Parameters": []}', "AttributeError: "),
    ],
)
def test_a_stage_file_that_cannot_be_read_is_one_line(gate: Gate, text: str, said: str) -> None:
    done = gate.run(gate.file("sound.yaml", SOUND), "--config", gate.file("prod.json", text))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert "prod.json: is no configuration of a stage: " + said in done.stderr


@pytest.mark.parametrize("text", ['{"accepted": null}', '{"accept": []}', "{"])
def test_an_acceptance_that_cannot_be_read_is_a_finding(gate: Gate, text: str) -> None:
    results = gate.results(gate.file("sound.yaml", SOUND), accepted=text)
    assert [finding["rule"] for finding in results["findings"]] == ["ACCEPTED"]
    assert results["findings"][0]["message"].startswith("is not the JSON it should be: ")
