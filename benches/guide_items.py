"""The items of RustGPT-Chinese's training guide, each as two settings of `benches.setting` that differ in it alone.

Settings begin with RECIPE, what `rgz train` takes for a small corpus, except where one sample an update is compared:
then with RustGPT-Chinese's own recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benches.setting import RUSTGPT, merged

TIME, LOSS = "time", "loss"
EPOCHS = 5


def _recipe() -> dict[str, Any]:
    """As `rgz train --preset rustgpt-chinese` chooses, with more dropout than the preset's 0.1, which makes the last
    weights nearly as good as the best: those are compared."""
    from rgz.cli.recipe import SMALL_CORPUS

    arguments = {"batch_size": 4, "learning_rate": 2e-3, **SMALL_CORPUS}
    return {
        "arguments": {**arguments, "early_stopping_patience": None, "load_best_model_at_end": False},
        "model": {"dropout": 0.3},
        "vocabulary": {"min_frequency": 2},
    }


RECIPE = _recipe()
_GUIDE_BEFORE = {  # lr0 * 0.95 ^ (epoch / 10)
    "lr_scheduler_type": "exponential", "lr_scheduler_kwargs": {"gamma": 0.95, "decay_steps": 10}, "warmup_steps": 0,
    "min_lr_ratio": 0.0, "lr_scheduler_interval": "epoch",
}  # fmt: skip
_GUIDE_AFTER = {  # cosine annealing with two warm restarts, to 1 %
    "lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"cycles": 3}, "warmup_steps": 0,
    "min_lr_ratio": 0.01, "lr_scheduler_interval": "epoch",
}  # fmt: skip
_STOPPING = {"early_stopping_patience": 3, "load_best_model_at_end": True}


@dataclass(frozen=True)
class Item:
    """number : in the guide; "" for what only RustGPT-Chinese has. names, off, on, estimate : (English, Chinese).

    before, after : the settings. parts : what the item can change, TIME, LOSS.
    epochs : as many times EPOCHS are trained for the loss.
    """

    number: str
    name: tuple[str, str]
    off: tuple[str, str]
    on: tuple[str, str]
    estimate: tuple[str, str]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    parts: tuple[str, ...] = (TIME, LOSS)
    epochs: int = 1


def _arguments(base: Mapping[str, Any] = RECIPE, **values: Any) -> dict[str, Any]:
    return merged(base, {"arguments": values})


PLAIN = _arguments(augment=None)  # what is encoded once
TOGETHER = ("1-5 together: training -40 %, quality +30 %", "1-5 合计：训练 -40 %，质量 +30 %")
NONE = ("-", "-")
SHUFFLED = {"packing": False, "batch_size": 16}
CHECKPOINTS = {"save_strategy": "epoch", "save_seconds": None}

ITEMS = (
    Item(
        "1", ("token cache", "词元缓存"), ("encoded before every epoch", "每轮重新编码"),
        ("encoded once", "只编码一次"), ("tokenization -99.8 %, training -20..30 %", "分词 -99.8 %，训练 -20..30 %"),
        {**PLAIN, "encode_anew": True}, PLAIN, (TIME,),
    ),
    Item(
        "2", ("learning rate", "学习率"), ("0.95^(epoch/10)", "0.95^(epoch/10)"),
        ("cosine, 2 restarts", "余弦，重启 2 次"), TOGETHER, _arguments(**_GUIDE_BEFORE), _arguments(**_GUIDE_AFTER),
        (LOSS,),
    ),
    Item(
        "2", ("learning rate", "学习率"), ("constant", "恒定"), ("warmup, cosine", "预热加余弦"), NONE,
        _arguments(lr_scheduler_type="constant", warmup_steps=0, min_lr_ratio=0.0), RECIPE, (LOSS,),
    ),
    Item(
        "3", ("early stopping", "早停"), ("all epochs, last weights", "跑满轮数，最后的权重"),
        ("patience 3, best weights", "耐心 3，最佳权重"), TOGETHER,
        _arguments(lr_scheduler_type="constant_with_warmup", min_lr_ratio=0.0),
        _arguments(lr_scheduler_type="constant_with_warmup", min_lr_ratio=0.0, **_STOPPING), (LOSS,), 2,
    ),
    Item(
        "4", ("monitoring", "监控"), ("none", "无"),
        ("reports every 10 updates, CSV, TensorBoard, samples", "每 10 次更新报告，CSV、TensorBoard、样例"), TOGETHER,
        {**PLAIN, "validate_time": True},
        {**_arguments(PLAIN, report_to=["jsonl", "csv", "tensorboard", "console"], logging_steps=10, samples=True),
         "files": True, "validate_time": True},
        (TIME,),
    ),
    Item(
        "5", ("gradient accumulation", "梯度累积"), ("one sample an update", "每次更新 1 条"),
        ("8 samples an update", "每次更新 8 条"), TOGETHER, RUSTGPT,
        _arguments(RUSTGPT, gradient_accumulation_steps=8),
    ),
    Item(
        "6", ("augmentation", "数据增强"), ("none", "无"), ("the recipe's", "本方案的"), NONE,
        PLAIN, RECIPE,
    ),
    Item(
        "7", ("threads", "线程"), ("1", "1"), ("all cores", "全部核心"),
        ("phones have few cores", "手机核心少"), _arguments(PLAIN, n_threads=1), PLAIN, (TIME,),
    ),
    Item(
        "8", ("BLAS", "BLAS"), ("plain C, no SIMD", "普通 C，无 SIMD"),
        ("product for this CPU", "本机 CPU 的矩阵乘"), ("matrix operations +50..200 %", "矩阵运算 +50..200 %"),
        {**PLAIN, "environment": {"RGZ_ISA": "generic", "RGZ_BLAS": "rgz"}}, PLAIN, (TIME,),
    ),
    Item(
        "9", ("batched training", "批量训练"), ("one sample an update", "每次更新 1 条"),
        ("16 sequences, rate 1e-3", "16 条，学习率 1e-3"), ("+100..200 %", "+100..200 %"), RUSTGPT,
        _arguments(RUSTGPT, batch_size=16, learning_rate=1e-3),
    ),
    Item(
        "9", ("batched training", "批量训练"), ("16 sequences, shuffled", "16 条，打乱"),
        ("like lengths together", "长度相近的一批"), NONE, _arguments(**SHUFFLED),
        _arguments(**SHUFFLED, group_by_length=True),
    ),
    Item(
        "9", ("batched training", "批量训练"), ("16 sequences, shuffled", "16 条，打乱"),
        ("packed, as many tokens", "装满，词元数相当"), NONE, _arguments(**SHUFFLED), RECIPE,
    ),
    Item(
        "", ("checkpoints", "检查点"), ("none", "无"), ("after every epoch", "每轮一个"), NONE, PLAIN,
        {**_arguments(PLAIN, **CHECKPOINTS), "files": True}, (TIME,),
    ),
    Item(
        "", ("dropout", "dropout"), ("0", "0"), ("the recipe's", "本方案的"), NONE,
        merged(RECIPE, {"model": {"dropout": 0.0}}), RECIPE,
    ),
    Item(
        "", ("weight decay", "权重衰减"), ("0", "0"), ("the recipe's", "本方案的"), NONE,
        _arguments(weight_decay=0.0), RECIPE, (LOSS,),
    ),
    Item(
        "1-9", ("all of it", "全部"), ("the naive trainer", "朴素的训练"), ("the recipe", "本方案"), TOGETHER,
        {**_arguments(RUSTGPT, **_GUIDE_BEFORE), "encode_anew": True}, RECIPE,
    ),
)  # fmt: skip
