"""Publishes a seed repository as a version of a Service Catalog product: plan (read-only), then apply.

It is given boto3 clients, and does not know whether AWS or the embedded AWS answers them.
"""
