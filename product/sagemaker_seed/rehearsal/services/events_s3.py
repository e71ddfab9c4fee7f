"""S3's events for EventBridge, of buckets that have them switched on: objects created and deleted. Knows no rules.

moto finds out what has happened to an object; where it would deliver that itself (to every rule, enabled or not, and to
few kinds of targets), the embedded AWS is told instead. Not told: tags and ACLs, of which moto speaks at every upload,
and delete markers of versioned buckets, of which it does not speak.
"""

from __future__ import annotations

import secrets
from typing import Any

from moto.s3 import notifications

from ..ground import Event, Ground

REASONS = {
    "s3:ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "s3:ObjectCreated:Copy": "CopyObject",
    "s3:ObjectCreated:Post": "POST Object",
    "s3:ObjectCreated:Put": "PutObject",
    "s3:ObjectRemoved:Delete": "DeleteObject",
}


def tell(ground: Ground) -> None:
    """Has moto say on ``ground`` what happens to objects, from now on: a process has one embedded AWS, one moto."""

    def send(account_id: str, bucket: Any, event_name: Any, key: Any) -> None:
        reason = REASONS.get(str(event_name.value))
        if reason is None:
            return
        version = {"version-id": key.version_id} if key.version_id and key.version_id != "null" else {}
        content = {"key": key.name, "size": key.size, "etag": key.etag.strip('"'), **version}
        detail = {
            "version": "0",
            "bucket": {"name": bucket.name},
            "object": {**content, "sequencer": secrets.token_hex(9).upper()},
            "request-id": secrets.token_hex(8).upper(),
            "requester": account_id,
            "reason": reason,
        }
        kind = notifications._detail_type(event_name)
        ground.emit(Event(account_id, bucket.region_name, "aws.s3", kind, detail, (bucket.arn,)))

    notifications._send_event_bridge_message = send
