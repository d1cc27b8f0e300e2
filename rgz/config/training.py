"""How a run trains, reports and saves."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

from rgz.messages import tr
from rgz.strict import Strict, is_path, parse_augment, parse_bytes, parse_seconds, unknown_name

DTYPES = ("float32", "bfloat16", "float16")
OPTIM_DTYPES = ("float32", "bfloat16", "int8")
LR_INTERVALS = ("step", "epoch")
SAVE_STRATEGIES = ("no", "steps", "seconds", "epoch", "best", "last", "best+last", "best+steps", "best+epoch")
REPORTERS = ("console", "jsonl", "csv", "tensorboard")


@dataclass(frozen=True)
class TrainingArguments(Strict):
    """How a run trains, reports and saves. Steps are optimizer updates; names are those of transformers.

    output_dir : the run directory; None writes nothing.
    max_steps : overrides num_train_epochs when > 0.
    batch_size : sequences a batch; with packing, as many tokens as batch_size full sequences have.
    batch_tokens : tokens a batch, in whole sequences, so that tokens weigh alike in all updates; overrides batch_size.
    gradient_accumulation_steps : how many times as many sequences (or tokens) an update has as a batch: the update is
        that of one batch so large, whichever way batches are made, but goes through the model in parts no larger than
        one batch, every token weighing the same; fewer at the end of an epoch.
    max_time, save_seconds : seconds, or a text like "20m"; max_time counts one sitting, not the whole run.
    lr_scheduler_interval : "step", or "epoch": the learning rate moves between epochs, warmup_steps counts them.
    warmup_steps : updates, or below 1 (as a float) a share of all updates.
    eval_steps : None means once an epoch.
    save_strategy : "steps" (every save_steps), "seconds" (every save_seconds), "epoch", "best", "last", "no", or two of
        them: "best+last", "best+steps", "best+epoch". All but "best" and "no" also save every save_seconds and at
        the end, and all but "no" when interrupted.
    save_total_limit : newest checkpoints kept, those of save_best_limit besides; None keeps all. "last" keeps one.
    save_best_limit : checkpoints of the best evaluations kept, where save_strategy has "best".
    early_stopping_patience : evaluations without improvement of metric_for_best_model; None never stops.
    dtype : "float32", "bfloat16" or "float16": what is computed with; see TrainStep. float16 scales the loss, so that
        small gradients do not vanish: loss_scale None adapts (see rgz.optim.LossScale), a number stays.
    optim_dtype : of the two moments of AdamW, "float32", "bfloat16" (half their memory) or "int8" (a quarter of it);
        the last two are rounded stochastically.
    gradient_checkpointing : compute activations again in backward instead of keeping them: the same bits, less memory.
    portion_tokens : the most tokens that pass through the model at a time. A batch of more is cut into portions of
        whole sequences, whose gradients add up to its own; with dropout each portion has masks of its own. None: as
        many as the cores are fastest with.
    max_memory : a text like "800MB"; portion_tokens is made smaller and activations are recomputed until the whole
        process stays below it while it trains. Batches, and so what an update sees, stay as they are.
    token_cache : text is encoded once and its ids kept in the private cache folder for later runs.
    mask_prompts : the loss counts the answers of chats only.
    augment : vary the training texts (see rgz.augment): a rate, a table, or a text "synonyms=0.2,multiplier=3".
        synonyms, deletion, insertion, reorder are rates, 0.1 unless given; multiplier: variants of a text made before
        training, 0 for another one in every epoch; dictionary: a file of synonyms.
    report_to : "console", "jsonl" (metrics.jsonl), "csv" (metrics.csv), "tensorboard" (its extra), some or none of
        them; a single one, or "none", may be a plain text.
    samples : the model continues a text at each evaluation, on the console: sample_prompt, or beginnings of documents.
    overwrite : a run that output_dir already holds is thrown away.
    """

    output_dir: str | None = None
    num_train_epochs: float = 3.0
    max_steps: int = -1
    max_time: float | str | None = None
    batch_size: int = 16
    batch_tokens: int | None = None
    gradient_accumulation_steps: int = 1
    max_length: int = 128
    learning_rate: float = 1e-3
    lr_scheduler_type: str = "cosine"
    lr_scheduler_kwargs: dict[str, Any] = field(default_factory=dict)
    lr_scheduler_interval: str = "step"
    warmup_steps: int | float = 0.05
    min_lr_ratio: float = 0.01
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    dtype: str = "float32"
    loss_scale: float | None = None
    optim_dtype: str = "float32"
    packing: bool = True
    group_by_length: bool = False
    mask_prompts: bool = False
    augment: dict[str, Any] | str | float | None = None
    validation_split: float = 0.05
    eval_steps: int | None = None
    logging_steps: int = 10
    save_strategy: str = "steps"
    save_steps: int | None = None
    save_seconds: float | str | None = 300.0
    save_total_limit: int | None = 3
    save_best_limit: int = 1
    early_stopping_patience: int | None = None
    early_stopping_min_delta: float = 0.0
    metric_for_best_model: str = "val_loss"
    load_best_model_at_end: bool = True
    gradient_checkpointing: bool = False
    portion_tokens: int | None = None
    max_memory: str | None = None
    token_cache: bool = True
    seed: int = 0
    n_threads: int | None = None
    report_to: tuple[str, ...] = ("console", "jsonl")
    samples: bool = True
    sample_prompt: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.output_dir, os.PathLike):
            object.__setattr__(self, "output_dir", os.fspath(self.output_dir))
        if isinstance(self.report_to, str):
            object.__setattr__(self, "report_to", () if self.report_to == "none" else (self.report_to,))
        self.check_types()
        for name in ("batch_size", "gradient_accumulation_steps", "max_length", "logging_steps", "save_best_limit"):
            self.need(getattr(self, name) >= 1, name, ">= 1")
        for name in ("batch_tokens", "portion_tokens", "eval_steps", "save_steps", "save_total_limit", "n_threads"):
            self.need(getattr(self, name) is None or getattr(self, name) >= 1, name, ">= 1")
        patience = self.early_stopping_patience
        self.need(patience is None or patience >= 0, "early_stopping_patience", ">= 0")
        self.need(0 <= self.seed < 2**63, "seed", ">= 0, < 2**63")
        folder = self.output_dir
        self.need(folder is None or (folder != "" and is_path(folder)), "output_dir", tr("the name of a folder"))
        for name in ("weight_decay", "early_stopping_min_delta", "warmup_steps"):
            self.need(math.isfinite(getattr(self, name)) and getattr(self, name) >= 0, name, ">= 0")
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm"):
            self.need(getattr(self, name) > 0, name, "> 0")
        for name in ("adam_beta1", "adam_beta2", "validation_split"):
            self.need(0 <= getattr(self, name) < 1, name, ">= 0, < 1")
        self.need(math.isfinite(self.learning_rate), "learning_rate", "> 0")
        self.need(0 <= self.min_lr_ratio <= 1, "min_lr_ratio", ">= 0, <= 1")
        self.need(self.max_steps == -1 or self.max_steps >= 1, "max_steps", tr("-1 or >= 1"))
        self.need(0 < self.num_train_epochs < math.inf, "num_train_epochs", "> 0")
        self.one_of("dtype", DTYPES)
        self.one_of("optim_dtype", OPTIM_DTYPES)
        scale = self.loss_scale
        self.need(scale is None or 0 < scale <= 2**24, "loss_scale", "> 0, <= 2**24")
        self.need(scale is None or self.dtype == "float16", "loss_scale", tr("none, but with dtype=float16"))
        self.one_of("lr_scheduler_interval", LR_INTERVALS)
        self.one_of("save_strategy", SAVE_STRATEGIES)
        for name in ("max_time", "save_seconds"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, parse_seconds(name, getattr(self, name)))
        self.need(self.max_time != 0, "max_time", "> 0")
        self.need(
            self.save_strategy != "seconds" or self.save_seconds is not None, "save_seconds", tr("a time, like 5m")
        )
        for reporter in self.report_to:
            if reporter not in REPORTERS:
                raise unknown_name("report_to", reporter, REPORTERS)
        if self.max_memory is not None:
            parse_bytes("max_memory", self.max_memory)
        object.__setattr__(self, "augment", parse_augment("augment", self.augment))

    @property
    def batch_rows(self) -> int:
        """The most tokens of a batch."""
        return self.batch_tokens or self.batch_size * self.max_length
