"""Invokes the staging endpoint in every account of the organizational unit, with the model's own role."""

import argparse
import json
import os

import boto3

parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
parser.add_argument("--results", required=True)
options = parser.parse_args()
with open(options.config) as file:
    config = {entry["ParameterKey"]: entry["ParameterValue"] for entry in json.load(file)}
endpoint = f"{config['SageMakerProjectName']}-{config['SageMakerProjectId']}-{config['StageName']}"
unit = os.environ["ORGANIZATIONAL_UNIT_STAGING_ID"]
results = []
for account in boto3.client("organizations").list_accounts_for_parent(ParentId=unit)["Accounts"]:
    role = f"arn:aws:iam::{account['Id']}:role/{config['ModelExecutionRoleName']}"
    given = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    status = boto3.client("sagemaker", **keys).describe_endpoint(EndpointName=endpoint)["EndpointStatus"]
    answer = boto3.client("sagemaker-runtime", **keys).invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Body="5.1,3.5,1.4,0.2"
    )
    results.append({"account": account["Id"], "status": status, "answer": answer["Body"].read().decode()})
with open(options.results, "w") as file:
    json.dump({"outcome": "passed", "results": results}, file)
if not results or any(result["status"] != "InService" for result in results):
    raise SystemExit(f"{endpoint} is not in service everywhere: {results}")
