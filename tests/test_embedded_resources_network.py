"""CloudFormation's providers of networks, read back through the API."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from resource_support import TAG, Stack, as_map, error_of, failure
from sagemaker_seed.rehearsal.embedded import EmbeddedAws
from support import REGION

TAGS = {"team": "ml", "purpose": "test"}
VPC, SUBNET, GROUP, ENDPOINT = "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint"

TABLE, ASSOCIATION = "AWS::EC2::RouteTable", "AWS::EC2::SubnetRouteTableAssociation"


@pytest.fixture
def stack(aws: EmbeddedAws) -> Stack:
    return Stack(aws, REGION)


@pytest.mark.slow  # it starts what answers for EC2
def test_a_network(stack: Stack) -> None:
    ec2 = stack.client("ec2")
    given: dict[str, Any] = {"CidrBlock": "10.1.0.0/16", "EnableDnsHostnames": "true", "Tags": TAG}
    vpc = stack.create(VPC, **given)

    def hostnames() -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=vpc.physical_id, Attribute="enableDnsHostnames")
        return bool(answer["EnableDnsHostnames"]["Value"])

    assert hostnames()
    [there] = ec2.describe_vpcs(VpcIds=[vpc.physical_id])["Vpcs"]
    assert (there["CidrBlock"], as_map(there["Tags"])) == ("10.1.0.0/16", TAGS)
    [default] = ec2.describe_security_groups(GroupIds=[vpc.attributes["DefaultSecurityGroup"]])["SecurityGroups"]
    assert default["VpcId"] == vpc.physical_id
    stack.update(VPC, vpc, given, {"CidrBlock": "10.1.0.0/16"})
    assert not hostnames()
    [there] = ec2.describe_vpcs(VpcIds=[vpc.physical_id])["Vpcs"]
    assert as_map(there["Tags"]) == {"team": "ml"}

    wanted = {"VpcId": vpc.physical_id, "CidrBlock": "10.1.1.0/24", "AvailabilityZone": f"{REGION}a", "Tags": TAG}
    subnet = stack.create(SUBNET, **wanted)
    assert subnet.attributes["AvailabilityZone"] == f"{REGION}a"
    stack.update(SUBNET, subnet, wanted, {**wanted, "MapPublicIpOnLaunch": True})
    [there] = ec2.describe_subnets(SubnetIds=[subnet.physical_id])["Subnets"]
    assert (there["MapPublicIpOnLaunch"], as_map(there["Tags"])) == (True, TAGS)
    assert "InvalidSubnet" in error_of(stack.create, SUBNET, **wanted)

    table = stack.create(TABLE, VpcId=vpc.physical_id, Tags=TAG)
    routed: dict[str, Any] = {"SubnetId": subnet.physical_id, "RouteTableId": table.physical_id}
    route = stack.create(ASSOCIATION, **routed)
    [there] = ec2.describe_route_tables(RouteTableIds=[table.physical_id])["RouteTables"]
    assert (there["VpcId"], as_map(there["Tags"])) == (vpc.physical_id, TAGS)
    assert [a["SubnetId"] for a in there["Associations"] if "SubnetId" in a] == [subnet.physical_id]
    stack.delete(ASSOCIATION, route, **routed)
    stack.delete(TABLE, table, VpcId=vpc.physical_id)

    web = {"IpProtocol": "tcp", "FromPort": "443", "ToPort": 443, "CidrIp": "10.1.0.0/16", "Description": "web"}
    grouped: dict[str, Any] = {
        "GroupDescription": "d",
        "VpcId": vpc.physical_id,
        "SecurityGroupIngress": [web],
        "SecurityGroupEgress": [{**web, "CidrIp": "10.2.0.0/16"}],
        "Tags": TAG,
    }
    group = stack.create(GROUP, **grouped)

    def rules() -> tuple[list[str], list[str]]:
        [found] = ec2.describe_security_groups(GroupIds=[group.physical_id])["SecurityGroups"]
        assert re.fullmatch(r"a-stack-MySecurityGroup-[A-Z0-9]{12}", found["GroupName"])
        sides = (found["IpPermissions"], found["IpPermissionsEgress"])
        ins, outs = ([r["CidrIp"] for p in side for r in p["IpRanges"]] for side in sides)
        return ins, outs

    assert rules() == (["10.1.0.0/16"], ["10.2.0.0/16"])
    assert group.attributes["GroupId"] == group.physical_id
    stack.update(GROUP, group, grouped, {"GroupDescription": "d", "VpcId": vpc.physical_id})
    assert rules() == ([], ["0.0.0.0/0"])

    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
    }
    reached: dict[str, Any] = {
        "VpcId": vpc.physical_id,
        "ServiceName": f"com.amazonaws.{REGION}.sagemaker.runtime",
        "VpcEndpointType": "Interface",
        "SubnetIds": [subnet.physical_id],
        "SecurityGroupIds": [group.physical_id],
        "PrivateDnsEnabled": True,
        "PolicyDocument": policy,
    }
    endpoint = stack.create(ENDPOINT, **reached)
    [there] = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint.physical_id])["VpcEndpoints"]
    assert (there["SubnetIds"], json.loads(there["PolicyDocument"])) == ([subnet.physical_id], policy)
    narrow = {**policy, "Id": "narrow"}
    stack.update(ENDPOINT, endpoint, reached, {**reached, "PolicyDocument": narrow, "Tags": TAG})
    [there] = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint.physical_id])["VpcEndpoints"]
    assert (json.loads(there["PolicyDocument"]), as_map(there["Tags"])) == (narrow, TAGS)
    assert "DnsOptions" in failure(stack.create, ENDPOINT, **reached, DnsOptions={"DnsRecordIpType": "ipv4"})

    stack.delete(ENDPOINT, endpoint)
    stack.delete(GROUP, group)
    stack.delete(SUBNET, subnet)
    stack.delete(VPC, vpc)
    assert vpc.physical_id not in {there["VpcId"] for there in ec2.describe_vpcs()["Vpcs"]}
