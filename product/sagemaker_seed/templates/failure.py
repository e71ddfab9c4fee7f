"""The error of a template that cannot be read or evaluated."""

from __future__ import annotations


class TemplateError(Exception):
    """The template cannot be had or is none; the message says why."""
