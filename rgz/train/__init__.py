"""The training loop, its callbacks, its checkpoints."""

from rgz.train.best import BestWeights
from rgz.train.cached import train_with_cached_tokens
from rgz.train.callbacks import Callback
from rgz.train.checkpoint import Checkpoint, newest_whole, read_checkpoint
from rgz.train.early_stopping import EarlyStopping
from rgz.train.evaluation import mean_loss
from rgz.train.plan import TrainingPlan, make_schedule, plan_training
from rgz.train.rundir import RunDirectory
from rgz.train.state import TrainerState
from rgz.train.trainer import Trainer
from rgz.train.update import TrainingDiverged
from rgz.train.verdict import verdicts

__all__ = [
    "BestWeights",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "RunDirectory",
    "Trainer",
    "TrainerState",
    "TrainingDiverged",
    "TrainingPlan",
    "make_schedule",
    "mean_loss",
    "newest_whole",
    "plan_training",
    "read_checkpoint",
    "train_with_cached_tokens",
    "verdicts",
]
