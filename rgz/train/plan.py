"""From arguments and text to what the loop walks over: batches, how many updates, and the schedule."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rgz.augment import AugmentedBatches, VariedTexts
from rgz.config import TrainingArguments
from rgz.data import Batches, Dataset, TokenCache, TokenData, held_out, require_one_sequence
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.schedules import Schedule, argument_names, get_schedule, refuse_reserved
from rgz.text.tokenizer import Progress
from rgz.train.augment import augment_training
from rgz.train.interfaces import BatchesLike, StepLike

# Resuming with another value of one of these would silently train on other batches than the run began with.
_BATCHING = (
    "batch_size", "batch_tokens", "gradient_accumulation_steps", "max_length", "packing", "group_by_length",
    "mask_prompts", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingPlan:
    """Everything about a run that is known before it starts.

    batches : one an update; part_rows : of them, whole sequences that go through the model at a time.
    varied : the training texts where they are varied on the fly, else None; `train` are the originals.
    identity : what a checkpoint must agree with for resuming to mean anything.
    notices : sentences for the user, such as why there is no validation.
    """

    train: TokenData
    val: TokenData | None
    batches: BatchesLike
    val_batches: BatchesLike | None
    part_rows: int
    max_steps: int
    eval_every: int
    schedule: Schedule
    identity: dict[str, Any]
    notices: tuple[str, ...]
    varied: VariedTexts | None = None

    @property
    def updates_per_epoch(self) -> int:
        return len(self.batches)

    @property
    def max_rows(self) -> int:
        """Rows of the largest part of a batch that any epoch or evaluation can bring."""
        rows = min(self.batches.max_rows, self.part_rows)
        return rows if self.val_batches is None else max(rows, self.val_batches.max_rows)

    @property
    def max_seqs(self) -> int:
        seqs = min(self.batches.max_seqs, self.part_rows)
        return seqs if self.val_batches is None else max(seqs, self.val_batches.max_seqs)

    @property
    def evaluation_steps(self) -> float:
        """About how many updates an evaluation takes as long as: a target's forward pass is a third of its work."""
        if self.val is None:
            return 0.0
        return self.updates_per_epoch * self.val.n_targets / max(self.train.n_targets, 1) / 3

    def evaluations_left(self, step: int) -> int:
        done = step // self.eval_every
        return -(-self.max_steps // self.eval_every) - done if step < self.max_steps else 0


def plan_training(
    train: Any, val: Any, tokenizer: Any, args: TrainingArguments, config: Any, progress: Progress | None = None
) -> TrainingPlan:
    """Encode, split, batch and count; RgzError where the text is too short to train on.

    train, val : Dataset (or a list of its documents) or TokenData; val None takes args.validation_split of the
        training documents.
    config : the model's, whose max_position_embeddings max_length must not exceed, nor any id its vocab_size.
    progress : is told of the training text how many documents and characters are encoded.
    """
    positions, vocab_size = config.max_position_embeddings, config.vocab_size
    if args.max_length > positions:
        raise RgzError(
            tr(
                "max_length must be <= max_position_embeddings of the model, got {max_length} and {positions}",
                max_length=args.max_length,
                positions=positions,
            )
        )
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        raise _vocabulary_too_small(vocab_size, tokenizer.vocab_size)
    told: list[str] = []
    if args.augment is not None:
        train, val, told = augment_training(train, val, args)
    varied = train if isinstance(train, VariedTexts) else None
    cache = TokenCache(args.token_cache)
    tokens = _encode(train, tokenizer, args, cache, progress)
    require_one_sequence(tokens, args.max_length)
    val_tokens = None if val is None else _encode(val, tokenizer, args, cache, None)
    for data in (tokens, val_tokens):
        if data is not None and len(data.ids) and (largest := int(data.ids.max())) >= vocab_size:
            raise _vocabulary_too_small(vocab_size, largest + 1)
    notices = cache.notices
    if val_tokens is None and args.validation_split > 0 and args.augment is None:
        tokens, val_tokens, reasons = split_validation(tokens, args.validation_split, args.seed)
        notices += reasons
    if val_tokens is not None and val_tokens.n_targets == 0:
        notices.append(tr("the validation text holds nothing to measure; training without validation"))
        val_tokens = None
    return lay_out(tokens, val_tokens, varied, tokenizer, args, (*told, *notices, *_without_use(args)))


def lay_out(
    tokens: TokenData,
    val_tokens: TokenData | None,
    varied: VariedTexts | None,
    tokenizer: Any,
    args: TrainingArguments,
    notices: tuple[str, ...],
) -> TrainingPlan:
    """The plan of a run on text that is encoded and split; see TrainingPlan."""
    batches = _batches(tokens, args, shuffle=True) if varied is None else _varied(varied, tokens, tokenizer, args)
    val_batches = None if val_tokens is None else _batches(val_tokens, args, shuffle=False)
    per_epoch = len(batches)
    max_steps = args.max_steps if args.max_steps > 0 else max(1, math.ceil(args.num_train_epochs * per_epoch))
    return TrainingPlan(
        train=tokens,
        val=val_tokens,
        batches=batches,
        val_batches=val_batches,
        part_rows=args.batch_rows,
        max_steps=max_steps,
        eval_every=args.eval_steps or per_epoch,
        schedule=make_schedule(args, max_steps, per_epoch),
        identity={
            **{name: getattr(args, name) for name in _BATCHING},
            "augment": varied.augmenter.fingerprint if varied is not None else None,
            "training data": data_digest(tokens),
            "validation data": data_digest(val_tokens) if val_tokens is not None else None,
        },
        notices=notices,
        varied=varied,
    )


def make_schedule(args: TrainingArguments, total_steps: int, steps_per_epoch: int = 1) -> Schedule:
    """The learning rate's multiplier for each update, by args.lr_scheduler_type."""
    refuse_reserved("lr_scheduler_kwargs", args.lr_scheduler_kwargs)
    return get_schedule(
        args.lr_scheduler_type,
        total_steps=total_steps,
        warmup_steps=args.warmup_steps,
        min_lr_ratio=args.min_lr_ratio,
        interval=args.lr_scheduler_interval,
        steps_per_epoch=steps_per_epoch,
        learning_rate=args.learning_rate,
        **{"monitor": args.metric_for_best_model, **args.lr_scheduler_kwargs},
    )


def _without_use(args: TrainingArguments) -> list[str]:
    """A sentence for each argument that was given and that the schedule has no use for."""
    fields = argument_names(args.lr_scheduler_type)
    return [
        tr("{name} has no effect: the schedule {schedule} has none", name=name, schedule=args.lr_scheduler_type)
        for name, field in (("warmup_steps", "warmup"), ("min_lr_ratio", "floor"))
        if field not in fields and getattr(args, name) not in (0, getattr(TrainingArguments, name))
    ]


def split_validation(data: TokenData, fraction: float, seed: int) -> tuple[TokenData, TokenData | None, list[str]]:
    """Hold a random `fraction` of the documents out, at least one, leaving at least one; or say why not."""
    n = data.n_documents
    if n < 2:
        notice = tr(
            "{count} document is too few to hold one out; training without validation "
            "(give more documents, or validation data of your own)",
            count=n,
        )
        return data, None, [notice]
    count = min(max(1, round(fraction * n)), n - 1)
    mask = held_out(n, count, seed)
    return data.select(~mask), data.select(mask), []


def _vocabulary_too_small(has: int, needed: int) -> RgzError:
    return RgzError(
        tr(
            "vocab_size of the model must be >= that of the tokenizer and of the encoded text, got {has} and {needed}; "
            "make the model with vocab_size={needed}",
            has=has,
            needed=needed,
        )
    )


def _encode(
    data: Any, tokenizer: Any, args: TrainingArguments, cache: TokenCache, progress: Progress | None
) -> TokenData:
    if isinstance(data, TokenData):
        if tokenizer is not None and data.fingerprint not in ("", tokenizer.fingerprint):
            raise RgzError(
                tr(
                    "the ids were encoded with tokenizer {theirs}, this run's is {ours}; encode the text again",
                    theirs=data.fingerprint,
                    ours=tokenizer.fingerprint,
                )
            )
        return data
    if isinstance(data, list) and data and all(isinstance(document, str | list) for document in data):
        data = Dataset(data)
    if not isinstance(data, Dataset):
        raise RgzError(
            tr(
                "training and validation text must be a Dataset, TokenData or a list of texts, got {kind}; "
                "files are read by rgz.load_dataset(path)",
                kind=type(data).__name__,
            )
        )
    return cache.encode(data, tokenizer, mask_prompts=args.mask_prompts, n_threads=args.n_threads, progress=progress)


def _varied(texts: VariedTexts, original: TokenData, tokenizer: Any, args: TrainingArguments) -> BatchesLike:
    _batches(original, args, shuffle=True)  # what is refused without variants is refused with them, in the same words
    tokens = args.batch_tokens and max(1, args.batch_tokens * 8 // 9)  # room to grow, as in a sequence

    def layout(data: TokenData, length: int) -> Batches:
        return _batches(data, dataclasses.replace(args, max_length=length, batch_tokens=tokens), shuffle=True)

    return AugmentedBatches(texts, original, tokenizer, args.mask_prompts, args.max_length, layout)


def _batches(data: TokenData, args: TrainingArguments, *, shuffle: bool) -> Batches:
    return Batches(
        data,
        batch_size=args.batch_size,
        max_length=args.max_length,
        packing=args.packing,
        group_by_length=args.group_by_length,
        seed=args.seed,
        shuffle=shuffle,
        batch_tokens=args.batch_tokens,
        accumulation=args.gradient_accumulation_steps if shuffle else 1,
    )


def data_digest(data: TokenData) -> str:
    """SHA-256 over ids, document boundaries and mask, so that resuming notices changed text."""
    digest = hashlib.sha256()
    for array in (data.ids, data.offsets, data.mask):
        if array is not None:
            digest.update(str(array.dtype).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def refuse_other_run(plan: TrainingPlan, saved: dict[str, Any]) -> None:
    """Raise where a checkpoint was made from other batches than this plan would give."""
    for name, value in plan.identity.items():
        if saved.get(name) == value:
            continue
        if name.endswith(" data"):
            raise RgzError(tr("the text is not what this run began with; a changed text needs a new run"))
        raise RgzError(
            tr(
                "{name} is {value}, but this run began with {saved}; resume with the same, or start a new run",
                name=name,
                value=value,
                saved=saved.get(name),
            )
        )


def make_step(model: Any, args: TrainingArguments, plan_rows: int, plan_seqs: int) -> StepLike:
    """The real update, as the arguments say, its memory planned for the largest batch."""
    from rgz.optim import AdamW
    from rgz.train.step import TrainStep

    betas = (args.adam_beta1, args.adam_beta2)
    step: StepLike = TrainStep(
        model,
        AdamW(lr=args.learning_rate, betas=betas, eps=args.adam_epsilon, weight_decay=args.weight_decay),
        max_grad_norm=args.max_grad_norm,
        dtype=args.dtype,
        n_threads=args.n_threads,
        plan_rows=plan_rows,
        plan_seqs=plan_seqs,
        plan_length=args.max_length,
        seed=args.seed,
        gradient_checkpointing=args.gradient_checkpointing,
        loss_scale=args.loss_scale,
        optim_dtype=args.optim_dtype,
        portion_tokens=args.portion_tokens,
    )
    return step
