r"""Parameters: the tensors that a module learns."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    r"""A tensor that a :class:`~minigrad.nn.Module` lists among its ``parameters()`` when it is
    assigned as an attribute. It requires gradients unless told otherwise.

    >>> import minigrad as mg
    >>> layer = mg.nn.Module()
    >>> layer.scale = Parameter(mg.ones(2))
    >>> [name for name, _ in layer.named_parameters()]
    ['scale']
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
