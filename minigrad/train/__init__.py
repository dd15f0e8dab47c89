r"""Training: the ordinary loop, metrics, and the run with its command line, log and checkpoints.

``fit`` is the loop for outputs and targets; ``Run`` is for any loop of one's own. Checkpoints need
safetensors; nothing else here needs more than NumPy.
"""

from __future__ import annotations

from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    JSONLogger,
    LRScheduler,
    ModelCheckpoint,
    Progress,
    ReduceLROnPlateau,
)
from .checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_safetensors,
    save_checkpoint,
    save_safetensors,
)
from .config import RunConfig, parse_config
from .entry import main
from .loop import cycle, evaluate, fit, mean_values, predict
from .metrics import (
    Accuracy,
    ConfusionMatrix,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    TopKAccuracy,
)
from .progress import ProgressBar
from .run import Result, Run, RunError

__all__ = [
    "Accuracy",
    "CSVLogger",
    "Callback",
    "CheckpointError",
    "ConfusionMatrix",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LRScheduler",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "ModelCheckpoint",
    "Progress",
    "ProgressBar",
    "ReduceLROnPlateau",
    "Result",
    "Run",
    "RunConfig",
    "RunError",
    "TopKAccuracy",
    "cycle",
    "evaluate",
    "fit",
    "load_checkpoint",
    "load_safetensors",
    "main",
    "mean_values",
    "parse_config",
    "predict",
    "save_checkpoint",
    "save_safetensors",
]
