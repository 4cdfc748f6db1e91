"""What scikit-learn asks of an estimator, without importing it: that alone takes a second, which
each process of a sweep would pay.
"""

from __future__ import annotations

import inspect
from typing import Any, Self


class Estimator:
    """An object with params, which are the arguments of its constructor and attributes of the same
    names: scikit-learn's ``clone``, pipelines and searches take it.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the params by name; none of them has params of its own, so ``deep`` is no
        matter.
        """
        return {name: getattr(self, name) for name in sorted(_defaults(self))}

    def set_params(self, **params: Any) -> Self:
        """Set params by name.

        Raises:
            ValueError: there is no such param.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no param {name!r}, only {[*known]}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        default = _defaults(self)
        params = ", ".join(f"{k}={v!r}" for k, v in self.get_params().items() if v != default[k])
        return f"{type(self).__name__}({params})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()


def not_fitted(message: str) -> ValueError:
    """Return scikit-learn's error of an estimator that is not trained."""
    from sklearn.exceptions import NotFittedError

    error: ValueError = NotFittedError(message)
    return error


def _defaults(estimator: Estimator) -> dict[str, Any]:
    parameters = inspect.signature(type(estimator)).parameters
    return {name: parameter.default for name, parameter in parameters.items()}
