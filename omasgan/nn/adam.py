"""torch's Adam, without torch's compiler.

Optimisers of torch import the compiler when they are constructed, only to tell it which methods
are none of its business. Nothing is compiled here, and the import costs each process that trains
2.6 s of CPU and 150 MB.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch


def _plain(method: Callable[..., Any]) -> Any:
    """Return a method as it was before it was wrapped."""
    return inspect.unwrap(method)


class Adam(torch.optim.Adam):
    """The same steps and the same state as those of ``torch.optim.Adam`` that are not
    differentiable, bit for bit.
    """

    # Like the wrapper that is left out here, but for a look at ``differentiable``.
    step = torch.no_grad()(_plain(torch.optim.Adam.step))
    add_param_group = _plain(torch.optim.Adam.add_param_group)
    zero_grad = _plain(torch.optim.Adam.zero_grad)
    state_dict = _plain(torch.optim.Adam.state_dict)
    load_state_dict = _plain(torch.optim.Adam.load_state_dict)
