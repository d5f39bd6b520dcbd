"""Few-shot learning: inner loop, outer loop, evaluation (MAML++)."""

from metanas.meta.algorithms import ALGORITHMS, Algorithm
from metanas.meta.checkpoint import Best, Checkpoint, check_same_settings, load_checkpoint
from metanas.meta.evaluation import Accuracy, adapted_weights, evaluate, evaluate_loss
from metanas.meta.initialisation import initialise
from metanas.meta.inner_loop import (
    MetaLoss,
    QueryNorm,
    inner_loop,
    meta_loss,
    norms_at,
    query_logits,
    support_statistics,
)
from metanas.meta.outer_loop import Observer, check_shares, meta_train
from metanas.meta.parameters import MetaParameters
from metanas.meta.plan import Chooser, Fixed, TrainingPlan
from metanas.meta.schedule import OuterSettings
from metanas.meta.training_state import TrainingFiles
from metanas.meta.validation import Validation, ValidationSettings, validate

__all__ = [
    "ALGORITHMS",
    "Accuracy",
    "Algorithm",
    "Best",
    "Checkpoint",
    "Chooser",
    "Fixed",
    "MetaLoss",
    "MetaParameters",
    "Observer",
    "OuterSettings",
    "QueryNorm",
    "TrainingFiles",
    "TrainingPlan",
    "Validation",
    "ValidationSettings",
    "adapted_weights",
    "check_same_settings",
    "check_shares",
    "evaluate",
    "evaluate_loss",
    "initialise",
    "inner_loop",
    "load_checkpoint",
    "meta_loss",
    "meta_train",
    "norms_at",
    "query_logits",
    "support_statistics",
    "validate",
]
