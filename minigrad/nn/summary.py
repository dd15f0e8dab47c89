r"""A table of a network: its layers, their output shapes, and how many parameters they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..autograd import no_grad
from ..creation import zeros
from ..tensor import Tensor
from .module import Module

__all__ = ["LayerSummary", "Summary", "summary"]


@dataclass
class LayerSummary:
    r"""One line of a :class:`Summary`."""

    name: str  # dotted, "" for the network itself
    kind: str  # the class
    depth: int
    output_shape: Any  # a tuple, or a nested list of tuples, or None if it was not called
    parameters: int  # its own, without its children's; a shared one counts where it first appears


@dataclass
class Summary:
    r"""What :func:`summary` returns; print it for the table."""

    layers: list[LayerSummary] = field(default_factory=list)
    total_parameters: int = 0
    trainable_parameters: int = 0

    def __str__(self) -> str:
        rows = [("Layer", "Output shape", "Parameters")]
        for layer in self.layers:
            own = layer.name.rpartition(".")[2]
            label = "  " * layer.depth + (f"{own}: {layer.kind}" if own else layer.kind)
            shape = "-" if layer.output_shape is None else str(layer.output_shape)
            rows.append((label, shape, f"{layer.parameters:,}" if layer.parameters else "-"))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows
        ]
        rule = "-" * (sum(widths) + 4)
        frozen = self.total_parameters - self.trainable_parameters
        return "\n".join(
            [
                lines[0],
                rule,
                *lines[1:],
                rule,
                f"Parameters: {self.total_parameters:,} "
                f"({self.trainable_parameters:,} trainable, {frozen:,} frozen)",
            ]
        )


def _shape(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.shape
    if isinstance(output, tuple | list):
        return [_shape(item) for item in output]
    if isinstance(output, dict):
        return {key: _shape(item) for key, item in output.items()}
    return type(output).__name__


def summary(model: Module, input_shape: Sequence[int] | Sequence[Sequence[int]]) -> Summary:
    r"""Run ``model`` once on zeros, in evaluation mode, and list its layers.

    Args:
        model: the network; its modes, buffers and hooks are as before afterwards.
        input_shape: with the batch axis; several shapes for several inputs.

    >>> import minigrad as mg
    >>> net = mg.nn.Sequential(mg.nn.Linear(784, 10), mg.nn.Softmax(-1))
    >>> print(summary(net, (64, 784)))
    Layer         Output shape  Parameters
    --------------------------------------
    Sequential    (64, 10)               -
      0: Linear   (64, 10)           7,850
      1: Softmax  (64, 10)               -
    --------------------------------------
    Parameters: 7,850 (7,850 trainable, 0 frozen)
    """
    several = len(input_shape) > 0 and not isinstance(input_shape[0], int)
    shapes: Any = list(input_shape) if several else [input_shape]
    first = next(model.parameters(), None)
    like: dict[str, Any] = {} if first is None else {"dtype": first.dtype, "device": first.device}
    inputs = [zeros(*shape, **like) for shape in shapes]

    shapes_seen: dict[int, Any] = {}
    modes = [(module, module.training) for module in model.modules()]
    handles = [
        module.register_forward_hook(
            lambda module, args, output: shapes_seen.update({id(module): _shape(output)})
        )
        for module, _ in modes
    ]
    try:
        model.eval()
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode

    result = Summary()
    counted: set[int] = set()
    for name, module in model.named_modules():
        own = 0
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in counted:
                counted.add(id(parameter))
                own += parameter.numel()
                if parameter.requires_grad:
                    result.trainable_parameters += parameter.numel()
        result.total_parameters += own
        depth = name.count(".") + 1 if name else 0
        result.layers.append(
            LayerSummary(name, type(module).__name__, depth, shapes_seen.get(id(module)), own)
        )
    return result
