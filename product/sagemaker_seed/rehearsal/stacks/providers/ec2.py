"""The network that a model or a build can be put into: VPCs, subnets, security groups and endpoints of services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..provider import Context, Made
from .common import (
    Properties,
    document,
    generated,
    gone_is_fine,
    picked,
    resource,
    retag,
    tag_list,
    tags_of,
    undone,
)

VPC, SUBNET, GROUP, ENDPOINT = "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "AWS::EC2::VPCEndpoint"
TABLE, ASSOCIATION = "AWS::EC2::RouteTable", "AWS::EC2::SubnetRouteTableAssociation"
SUBNET_DEFAULTS = ("MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation")
DNS = ("EnableDnsSupport", "EnableDnsHostnames")
EVERYTHING_OUT = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}


def _tagged(context: Context, kind: str, properties: Properties) -> dict[str, Any]:
    tags = tag_list(tags_of(context, properties))
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def _retag(context: Context, made: Made, there: list[dict[str, str]], properties: Properties) -> None:
    ec2 = context.client("ec2")
    retag(
        there,
        tags_of(context, properties),
        lambda tags: ec2.create_tags(Resources=[made.physical_id], Tags=tag_list(tags)),
        lambda keys: ec2.delete_tags(Resources=[made.physical_id], Tags=[{"Key": key} for key in keys]),
    )


# --- VPCs


def _create_vpc(context: Context, properties: Properties) -> Made:
    ec2 = context.client("ec2")
    given = picked(properties, "CidrBlock InstanceTenancy")
    vpc = ec2.create_vpc(**given, **_tagged(context, "vpc", properties))["Vpc"]["VpcId"]
    with undone(lambda: ec2.delete_vpc(VpcId=vpc)):
        _put_dns(ec2, vpc, {}, properties)
        of_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
        groups = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
        acls = ec2.describe_network_acls(Filters=of_vpc)["NetworkAcls"]
    attributes = {
        "VpcId": vpc,
        "CidrBlock": properties["CidrBlock"],
        "DefaultSecurityGroup": groups[0]["GroupId"],
        "DefaultNetworkAcl": acls[0]["NetworkAclId"],
    }
    return Made(vpc, attributes)


def _put_dns(ec2: Any, vpc: str, old: Properties, new: Properties) -> None:
    defaults = {"EnableDnsSupport": True, "EnableDnsHostnames": False}
    for name in DNS:
        if old.get(name) != new.get(name):
            ec2.modify_vpc_attribute(VpcId=vpc, **{name: {"Value": new.get(name, defaults[name])}})


def _update_vpc(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    ec2 = context.client("ec2")
    _put_dns(ec2, made.physical_id, old, new)
    [vpc] = ec2.describe_vpcs(VpcIds=[made.physical_id])["Vpcs"]
    _retag(context, made, vpc.get("Tags", []), new)
    return made


# --- subnets


def _create_subnet(context: Context, properties: Properties) -> Made:
    ec2 = context.client("ec2")
    given = picked(properties, "AvailabilityZone AvailabilityZoneId CidrBlock VpcId")
    subnet = ec2.create_subnet(**given, **_tagged(context, "subnet", properties))["Subnet"]
    with undone(lambda: ec2.delete_subnet(SubnetId=subnet["SubnetId"])):
        _put_defaults(ec2, subnet["SubnetId"], {}, properties)
    return Made(subnet["SubnetId"], picked(subnet, "SubnetId AvailabilityZone AvailabilityZoneId CidrBlock VpcId"))


def _put_defaults(ec2: Any, subnet: str, old: Properties, new: Properties) -> None:
    for name in SUBNET_DEFAULTS:
        if old.get(name) != new.get(name):
            ec2.modify_subnet_attribute(SubnetId=subnet, **{name: {"Value": new.get(name, False)}})


def _update_subnet(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    ec2 = context.client("ec2")
    _put_defaults(ec2, made.physical_id, old, new)
    [subnet] = ec2.describe_subnets(SubnetIds=[made.physical_id])["Subnets"]
    _retag(context, made, subnet.get("Tags", []), new)
    return made


# --- route tables: which subnet has which; routes of one's own are another type's


def _create_table(context: Context, properties: Properties) -> Made:
    ec2 = context.client("ec2")
    table = ec2.create_route_table(VpcId=properties["VpcId"], **_tagged(context, "route-table", properties))
    return Made(found := table["RouteTable"]["RouteTableId"], {"RouteTableId": found})


def _update_table(context: Context, made: Made, _: Properties, new: Properties) -> Made:
    [table] = context.client("ec2").describe_route_tables(RouteTableIds=[made.physical_id])["RouteTables"]
    _retag(context, made, table.get("Tags", []), new)
    return made


def _associate(context: Context, properties: Properties) -> Made:
    answer = context.client("ec2").associate_route_table(**picked(properties, "RouteTableId SubnetId"))
    return Made(answer["AssociationId"], {"Id": answer["AssociationId"]})


def _as_it_is(_: Context, made: Made, _old: Properties, _new: Properties) -> Made:
    return made  # whatever differs takes a new association


# --- security groups


def _create_group(context: Context, properties: Properties) -> Made:
    ec2 = context.client("ec2")
    group = ec2.create_security_group(
        GroupName=properties.get("GroupName") or generated(context, 255),
        Description=properties["GroupDescription"],
        **picked(properties, "VpcId"),
        **_tagged(context, "security-group", properties),
    )["GroupId"]
    with undone(lambda: ec2.delete_security_group(GroupId=group)):
        _put_rules(ec2, group, {"SecurityGroupEgress": [EVERYTHING_OUT]}, properties)
    return Made(group, {"GroupId": group, "Id": group, **picked(properties, "VpcId")})


def _rules(properties: Properties, direction: str) -> list[dict[str, Any]]:
    """The rules that a group has; one without any for what goes out lets everything out."""
    default = [EVERYTHING_OUT] if direction == "Egress" else []
    return list(properties.get(f"SecurityGroup{direction}") or default)


def _put_rules(ec2: Any, group: str, old: Properties, new: Properties) -> None:
    for direction in ("Ingress", "Egress"):
        before, after = _rules(old, direction), _rules(new, direction)
        change = direction.lower()
        if gone := [_permission(rule) for rule in before if rule not in after]:
            with gone_is_fine("InvalidPermission.NotFound"):
                getattr(ec2, f"revoke_security_group_{change}")(GroupId=group, IpPermissions=gone)
        if come := [_permission(rule) for rule in after if rule not in before]:
            with gone_is_fine("InvalidPermission.Duplicate"):
                getattr(ec2, f"authorize_security_group_{change}")(GroupId=group, IpPermissions=come)


# our name of whom a rule is about -> the API's list of them, and the name there
PEERS = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


def _permission(rule: Properties) -> dict[str, Any]:
    said = picked(rule, "Description")
    peers = {names: [{name: rule[ours], **said}] for ours, (names, name) in PEERS.items() if ours in rule}
    return {**picked(rule, "IpProtocol FromPort ToPort"), **peers}


def _update_group(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    ec2 = context.client("ec2")
    _put_rules(ec2, made.physical_id, old, new)
    [group] = ec2.describe_security_groups(GroupIds=[made.physical_id])["SecurityGroups"]
    _retag(context, made, group.get("Tags", []), new)
    return made


# --- endpoints of services

LISTS = ("RouteTableIds", "SubnetIds", "SecurityGroupIds")


def _create_endpoint(context: Context, properties: Properties) -> Made:
    policy = {"PolicyDocument": document(properties["PolicyDocument"])} if "PolicyDocument" in properties else {}
    given = picked(properties, f"PrivateDnsEnabled ServiceName VpcEndpointType VpcId {' '.join(LISTS)}")
    endpoint = context.client("ec2").create_vpc_endpoint(
        **given, **policy, **_tagged(context, "vpc-endpoint", properties)
    )["VpcEndpoint"]
    attributes = {
        "Id": endpoint["VpcEndpointId"],
        "DnsEntries": [f"{e.get('HostedZoneId', '')}:{e['DnsName']}" for e in endpoint.get("DnsEntries", ())],
        "NetworkInterfaceIds": endpoint.get("NetworkInterfaceIds", []),
    }
    return Made(endpoint["VpcEndpointId"], attributes)


def _update_endpoint(context: Context, made: Made, old: Properties, new: Properties) -> Made:
    ec2, changes = context.client("ec2"), dict[str, Any]()
    for name in LISTS:
        before, after = set(old.get(name, ())), set(new.get(name, ()))
        changes |= {f"Add{name}": sorted(after - before)} if after - before else {}
        changes |= {f"Remove{name}": sorted(before - after)} if before - after else {}
    if old.get("PolicyDocument") != new.get("PolicyDocument"):
        changes |= (
            {"PolicyDocument": document(new["PolicyDocument"])} if "PolicyDocument" in new else {"ResetPolicy": True}
        )
    if old.get("PrivateDnsEnabled") != new.get("PrivateDnsEnabled"):
        changes["PrivateDnsEnabled"] = new.get("PrivateDnsEnabled", False)
    if changes:
        ec2.modify_vpc_endpoint(VpcEndpointId=made.physical_id, **changes)
    [endpoint] = ec2.describe_vpc_endpoints(VpcEndpointIds=[made.physical_id])["VpcEndpoints"]
    _retag(context, made, endpoint.get("Tags", []), new)
    return made


def _delete_endpoint(context: Context, made: Made, _: Properties) -> None:
    # Which answers with what it could not delete, and that is only what is not there.
    with gone_is_fine("InvalidVpcEndpointId.NotFound"):
        context.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made.physical_id])


def _deleted(operation: str, name: str, *gone: str) -> Callable[[Context, Made, Properties], None]:
    def delete(context: Context, made: Made, _: Properties) -> None:
        with gone_is_fine(*gone):
            getattr(context.client("ec2"), operation)(**{name: made.physical_id})

    return delete


PROVIDERS = dict(
    (
        resource(
            VPC,
            _create_vpc,
            _update_vpc,
            _deleted("delete_vpc", "VpcId", "InvalidVpcID.NotFound"),
            honours=" ".join(["CidrBlock InstanceTenancy Tags", *DNS]),
            replaces=frozenset({"CidrBlock", "InstanceTenancy"}),
        ),
        resource(
            SUBNET,
            _create_subnet,
            _update_subnet,
            _deleted("delete_subnet", "SubnetId", "InvalidSubnetID.NotFound"),
            honours=" ".join(["AvailabilityZone AvailabilityZoneId CidrBlock Tags VpcId", *SUBNET_DEFAULTS]),
        ),
        resource(
            TABLE,
            _create_table,
            _update_table,
            _deleted("delete_route_table", "RouteTableId", "InvalidRouteTableID.NotFound"),
            honours="Tags VpcId",
        ),
        resource(
            ASSOCIATION,
            _associate,
            _as_it_is,
            _deleted("disassociate_route_table", "AssociationId", "InvalidAssociationID.NotFound"),
            honours="RouteTableId SubnetId",
        ),
        resource(
            GROUP,
            _create_group,
            _update_group,
            _deleted("delete_security_group", "GroupId", "InvalidGroup.NotFound"),
            honours="GroupDescription GroupName SecurityGroupEgress SecurityGroupIngress Tags VpcId",
        ),
        resource(
            ENDPOINT,
            _create_endpoint,
            _update_endpoint,
            _delete_endpoint,
            honours=" ".join(["PolicyDocument PrivateDnsEnabled ServiceName Tags VpcEndpointType VpcId", *LISTS]),
        ),
    )
)
