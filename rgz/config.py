"""What a model looks like and how a run trains it: frozen dataclasses that refuse what they cannot hold."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import Strict, parse_augment, parse_bytes, parse_seconds, unknown_name

ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "swiglu")
NORMS = ("layernorm", "rmsnorm")
POSITIONS = ("rope", "learned", "sinusoidal", "none")
DTYPES = ("float32", "bfloat16", "float16")
LR_INTERVALS = ("step", "epoch")
SAVE_STRATEGIES = ("no", "steps", "seconds", "epoch", "best", "last", "best+last", "best+steps", "best+epoch")
REPORTERS = ("console", "jsonl", "csv", "tensorboard")

_ALIASES = {"gelu_new": "gelu_tanh"}  # the name that transformers gives to the tanh approximation


@dataclass(frozen=True)
class ModelConfig(Strict):
    """The shape of a decoder-only transformer; GPT-2 and Llama shapes are two settings of it.

    num_key_value_heads : None means num_attention_heads; fewer is grouped-query attention.
    intermediate_size : None means 4 * hidden_size; for swiglu 8/3 of it, rounded up to a multiple of 32.
    hidden_act : "relu", "gelu" (erf), "gelu_tanh" (also "gelu_new"), "swiglu".
    norm : "layernorm" (weight and bias) or "rmsnorm" (weight); always before the sub-layer.
    position : "rope", "learned", "sinusoidal" (fixed, no parameters) or "none".
    dropout : on the sub-layer outputs, in [0, 1).
    Both None fields are filled in on construction, so readers always see integers.
    """

    vocab_size: int = 8000
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int | None = None
    intermediate_size: int | None = None
    max_position_embeddings: int = 512
    hidden_act: str = "swiglu"
    norm: str = "rmsnorm"
    norm_eps: float = 1e-5
    position: str = "rope"
    rope_theta: float = 10000.0
    attention_bias: bool = False
    mlp_bias: bool = False
    lm_head_bias: bool = False
    final_norm: bool = True
    tie_word_embeddings: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        self.check_types()
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "max_position_embeddings"):
            self.need(getattr(self, name) >= 1, name, ">= 1")
        self.need(self.num_hidden_layers >= 0, "num_hidden_layers", ">= 0")
        object.__setattr__(self, "hidden_act", _ALIASES.get(self.hidden_act, self.hidden_act))
        self.one_of("hidden_act", ACTIVATIONS)
        self.one_of("norm", NORMS)
        self.one_of("position", POSITIONS)
        self.need(0.0 <= self.dropout < 1.0, "dropout", ">= 0, < 1")
        self.need(0.0 < self.norm_eps < 1.0, "norm_eps", "> 0, < 1")
        self.need(self.rope_theta > 0.0 and math.isfinite(self.rope_theta), "rope_theta", "> 0")
        if self.num_key_value_heads is None:
            object.__setattr__(self, "num_key_value_heads", self.num_attention_heads)
        if self.intermediate_size is None:
            wide = -(-8 * self.hidden_size // (3 * 32)) * 32 if self.hidden_act == "swiglu" else 4 * self.hidden_size
            object.__setattr__(self, "intermediate_size", wide)
        self.need(self.kv_heads >= 1, "num_key_value_heads", ">= 1")
        self.need(self.ffn_size >= 1, "intermediate_size", ">= 1")
        self._check_heads()

    def _check_heads(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise RgzError(
                tr(
                    "hidden_size must be divisible by num_attention_heads, got {hidden} and {heads}; "
                    "{smaller} or {larger} would do",
                    hidden=self.hidden_size,
                    heads=self.num_attention_heads,
                    smaller=max(1, self.hidden_size // self.num_attention_heads) * self.num_attention_heads,
                    larger=(self.hidden_size // self.num_attention_heads + 1) * self.num_attention_heads,
                )
            )
        if self.num_attention_heads % self.kv_heads:
            raise RgzError(
                tr(
                    "num_attention_heads must be divisible by num_key_value_heads, got {heads} and {kv_heads}",
                    heads=self.num_attention_heads,
                    kv_heads=self.kv_heads,
                )
            )
        if self.position == "rope" and self.head_dim % 2:
            raise RgzError(
                tr(
                    "rope turns pairs, so hidden_size / num_attention_heads must be even, got {head_dim}; "
                    "change one of them or use position='learned'",
                    head_dim=self.head_dim,
                )
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def kv_heads(self) -> int:
        """num_key_value_heads as an integer (the field's type admits the None of the constructor)."""
        assert self.num_key_value_heads is not None
        return self.num_key_value_heads

    @property
    def ffn_size(self) -> int:
        """intermediate_size as an integer (the field's type admits the None of the constructor)."""
        assert self.intermediate_size is not None
        return self.intermediate_size

    def num_parameters(self) -> int:
        """Trained numbers of the model, exactly; a tied head counts once, fixed positions not at all."""
        c, f, v = self.hidden_size, self.ffn_size, self.vocab_size
        norm = c * (2 if self.norm == "layernorm" else 1)
        qkv = (self.num_attention_heads + 2 * self.kv_heads) * self.head_dim
        up = 2 * f if self.hidden_act == "swiglu" else f  # gate and up are one matrix
        attention = qkv * c + c * c + self.attention_bias * (qkv + c)
        mlp = up * c + c * f + self.mlp_bias * (up + c)
        total = v * c + self.num_hidden_layers * (2 * norm + attention + mlp) + self.final_norm * norm
        if self.position == "learned":
            total += self.max_position_embeddings * c
        return total + (0 if self.tie_word_embeddings else v * c) + self.lm_head_bias * v

    @classmethod
    def preset(cls, name: str, vocab_size: int | None = None, **overrides: Any) -> ModelConfig:
        """A named shape: pico nano micro small base (Llama family), gpt2, rustgpt-chinese.

        vocab_size is the tokenizer's; only gpt2 and rustgpt-chinese have one of their own.
        """
        if name not in PRESETS:
            raise unknown_name(tr("preset"), name, PRESETS)
        values = {**PRESETS[name], **overrides}
        if vocab_size is not None:
            values["vocab_size"] = vocab_size
        if "vocab_size" not in values:
            raise RgzError(tr("preset '{name}' needs vocab_size: that of the tokenizer", name=name))
        return cls.from_dict(values)


def _llama(hidden: int, layers: int, heads: int, kv_heads: int, positions: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": positions,
    }


PRESETS: dict[str, dict[str, Any]] = {
    "pico": _llama(64, 3, 4, 2, 256),  # 0.40M at 4,000 ids
    "nano": _llama(128, 4, 4, 2, 512),  # 1.8M at 8,000 ids
    "micro": _llama(256, 4, 8, 4, 512),  # 5.0M
    "small": _llama(512, 8, 8, 4, 1024),  # 27M
    "base": _llama(768, 15, 12, 4, 1024),  # 100M
    # Radford et al. 2019, the 124M model.
    "gpt2": {
        "vocab_size": 50257,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 1024,
        "hidden_act": "gelu_tanh",
        "norm": "layernorm",
        "position": "learned",
        "attention_bias": True,
        "mlp_bias": True,
        "dropout": 0.1,
    },
    # RustGPT-Chinese: its attention has four bare matrices, its FFN and its output layer have biases.
    "rustgpt-chinese": {
        "vocab_size": 9620,
        "hidden_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "intermediate_size": 512,
        "max_position_embeddings": 128,
        "hidden_act": "relu",
        "norm": "layernorm",
        "norm_eps": 1e-8,
        "position": "sinusoidal",
        "mlp_bias": True,
        "lm_head_bias": True,
        "final_norm": False,
        "tie_word_embeddings": False,
        "dropout": 0.1,
    },
}


@dataclass(frozen=True)
class TrainingArguments(Strict):
    """How a run trains, reports and saves. Steps are optimizer updates; names are those of transformers.

    output_dir : the run directory; None writes nothing.
    max_steps : overrides num_train_epochs when > 0.
    batch_size : sequences a batch; with packing, as many tokens as batch_size full sequences have.
    batch_tokens : tokens a batch, in whole sequences, so that tokens weigh alike in all updates; overrides batch_size.
    gradient_accumulation_steps : batches an update, every token weighing the same; fewer at the end of an epoch. With
        packing=False the updates are those of batches so many times as large; packing fills those in its own way.
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
    gradient_checkpointing : compute activations again in backward instead of keeping them: the same bits, less memory.
    max_memory : a text like "800MB"; batches are made smaller (and accumulated, so that updates stay as large) and
        activations recomputed until the whole process stays below it.
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
        for name in ("batch_tokens", "eval_steps", "save_steps", "save_total_limit", "n_threads"):
            self.need(getattr(self, name) is None or getattr(self, name) >= 1, name, ">= 1")
        patience = self.early_stopping_patience
        self.need(patience is None or patience >= 0, "early_stopping_patience", ">= 0")
        self.need(0 <= self.seed < 2**63, "seed", ">= 0, < 2**63")
        self.need(self.output_dir != "", "output_dir", tr("the name of a folder"))
        for name in ("weight_decay", "early_stopping_min_delta", "warmup_steps"):
            self.need(math.isfinite(getattr(self, name)) and getattr(self, name) >= 0, name, ">= 0")
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm"):
            self.need(getattr(self, name) > 0, name, "> 0")
        for name in ("adam_beta1", "adam_beta2", "validation_split"):
            self.need(0 <= getattr(self, name) < 1, name, ">= 0, < 1")
        self.need(math.isfinite(self.learning_rate), "learning_rate", "> 0")
        self.need(0 <= self.min_lr_ratio <= 1, "min_lr_ratio", ">= 0, <= 1")
        self.need(self.max_steps == -1 or self.max_steps >= 1, "max_steps", ">= 1, -1")
        self.need(0 < self.num_train_epochs < math.inf, "num_train_epochs", "> 0")
        self.one_of("dtype", DTYPES)
        self.one_of("lr_scheduler_interval", LR_INTERVALS)
        self.one_of("save_strategy", SAVE_STRATEGIES)
        for name in ("max_time", "save_seconds"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, parse_seconds(name, getattr(self, name)))
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
