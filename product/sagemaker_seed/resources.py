"""Where the files that ship with the package lie: beside it in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent.parent


def product_template(name: str = "project.yaml") -> Path:
    """A CloudFormation template of the product."""
    inside = _PACKAGE / "cloudformation" / name
    return inside if inside.is_file() else _PACKAGE.parent / "cloudformation" / name


def cookiecutter_template() -> Path:
    """The folder that cookiecutter renders."""
    inside = _PACKAGE / "template"
    return inside if inside.is_dir() else _CHECKOUT
