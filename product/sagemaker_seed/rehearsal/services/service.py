"""What a service of the embedded AWS consists of. No service is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ..wire import Request

Operation = Callable[[Request], object]
Guard = Callable[[Request], AbstractContextManager[None]]


def _no_guard(_: Request) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Service:
    """One service, or what is ours of one that moto answers otherwise.

    Attributes:
        name: botocore's name of the service.
        operations: the API's name of an operation -> the function that answers it with a dict in the shape of the
            operation's output, or raises ``AwsError``.
        complete: whether nothing of it is moto's, so that what is not in ``operations`` is not implemented.
        guard: entered around every operation that moto answers; refuses by raising ``AwsError``.
    """

    name: str
    operations: Mapping[str, Operation]
    complete: bool = False
    guard: Guard = _no_guard
