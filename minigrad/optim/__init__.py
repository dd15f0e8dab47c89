r"""Optimisers and learning-rate schedules, with PyTorch's names and formulas.

Belongs here: the public names. Does not belong here: the arithmetic of a step
(``kernels/optim.py``) and gradient clipping (``nn/utils.py``, where PyTorch has it).
"""

from __future__ import annotations

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
