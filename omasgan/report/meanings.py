"""What each param of a detector means: the text below its field in the detector's class."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from itertools import pairwise
from typing import Any

from omasgan.errors import OmasganError


def meanings(detector: str) -> dict[str, str]:
    """The first sentence about each param that has one; none if the detector cannot be loaded.

    >>> meanings("knn")
    {'k': "Which neighbour's distance is the score."}
    """
    from omasgan import detectors

    try:
        cls = detectors.load(detector)
    except OmasganError:
        return {}
    # what a class says of a param goes before what its bases say
    said = [_of_class(one) for one in reversed(cls.__mro__) if one.__module__ != "builtins"]
    known = detectors.parameters(cls)
    return {name: text for of in said for name, text in of.items() if name in known}


def _of_class(cls: type[Any]) -> dict[str, str]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: _sentence(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _sentence(text: str) -> str:
    r"""The first sentence, in one line and without the marks of code.

    >>> _sentence("Weight of ``d`` (eq. 3)\n    in eq. 2. Not more.")
    'Weight of d (eq. 3) in eq. 2.'
    """
    words = " ".join(text.split()).replace("``", "")
    return re.split(r"\.\s+(?=[A-Z])", words)[0].rstrip(".") + "."
