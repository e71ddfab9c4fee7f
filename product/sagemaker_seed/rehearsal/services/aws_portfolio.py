"""SageMaker's own portfolio, which AWS shares with every account: what it is called. Holds no products."""

from __future__ import annotations

ID = "port-sagemakeraws1"
NAME = "Amazon SageMaker Solutions and ML Ops products"
PROVIDER = "Amazon SageMaker"
SHARE = "AWS_SERVICECATALOG"
