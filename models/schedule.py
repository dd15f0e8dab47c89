r"""The learning rate over a run, as the models' option ``--schedule`` names it.

Belongs here: the choice between the two schedules that all families have. Does not belong here: the
schedules (``minigrad.optim.lr_scheduler``), and what watches a validation figure, which steps once
an epoch (``autoencoders/common.py``).
"""

from __future__ import annotations

from minigrad import optim

__all__ = ["make_schedule"]


def make_schedule(
    name: str, optimizer: optim.Optimizer, steps: int
) -> optim.lr_scheduler.LRScheduler:
    r"""``cosine``: the rate falls to 0 along half a cosine in ``steps`` steps; any other name: it
    stays what it is. Step it after each step of the optimiser.

    >>> from minigrad import nn
    >>> optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> schedule = make_schedule("cosine", optimizer, 2)
    >>> optimizer.step(), schedule.step(), round(optimizer.param_groups[0]["lr"], 6)
    (None, None, 0.5)
    """
    if name == "cosine":
        return optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
