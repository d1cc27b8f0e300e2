"""One training run on RustGPT-Chinese's corpus, a tenth of it held out by seed: what it reached, and how fast.

python benches/setting.py FOLDER SETTING_JSON        prints the outcome as JSON, for runs in a process of their own
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HELD_OUT = 0.1
PRESET = "rustgpt-chinese"
if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parents[1]:
    # `python -m benches...` looks for rgz in the checkout first; meant is the one that is installed, if there is one.
    sys.path.append(sys.path.pop(0))

# The recipe of RustGPT-Chinese's main program. Its stop rule (30 epochs without 0.01 less training loss) is part of it
# and cannot fire in runs as short as these: its weights are the last ones, the best ones are what a user of validation
# would have kept.
RUSTGPT: dict[str, Any] = {
    "arguments": {
        "batch_size": 1, "packing": False, "learning_rate": 1e-4, "lr_scheduler_type": "cosine", "warmup_steps": 0.05,
        "min_lr_ratio": 0.01, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "max_grad_norm": 1.0,
    },
    "model": {"dropout": 0.1},
    "vocabulary": {"min_frequency": 1},
}  # fmt: skip


def key_of(setting: Mapping[str, Any]) -> str:
    """The same text for the same setting, whatever the order of its parts."""
    return json.dumps(setting, sort_keys=True, ensure_ascii=False)


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A setting with parts of another laid over it, table by table."""
    both = {**base, **change}
    for name, value in change.items():
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping):
            both[name] = {**base[name], **value}
    return both


def outcome(data: str | os.PathLike[str], setting: Mapping[str, Any]) -> dict[str, Any]:
    """Train as a setting says.

    setting : seed (of split, order, first weights and dropout), epochs; arguments (fields of TrainingArguments), model
        (fields of ModelConfig beside the preset's), vocabulary (arguments of WordTokenizer.train), validate (False:
        nothing is held out), encode_anew (the text is tokenized before every epoch, as without a cache), files (the
        run has a directory, which checkpoints and reports need).
    Returns seconds, that of each epoch from its beginning to the next one's; losses, the validation loss in nats a
    token after each evaluation, and left, that of the weights that the run leaves; both for one target token, of which
    there are `tokens` in an epoch of training, with `characters_per_token` in the text held out.
    """
    import rgz

    seed = setting.get("seed", 0)
    dataset = rgz.load_dataset([Path(data, "rustgpt-chinese", name) for name in ("pretraining", "chat")])
    train, val = dataset.split(HELD_OUT, seed=seed)
    tokenizer = rgz.WordTokenizer.train(train.texts(), **{"vocab_size": 9620, **setting.get("vocabulary", {})})
    config = rgz.ModelConfig.preset(PRESET, vocab_size=tokenizer.vocab_size, **setting.get("model", {}))
    held_out = rgz.data.encode_dataset(val, tokenizer)
    stopwatch = _Stopwatch(rgz.data.encode_dataset, train, tokenizer, setting.get("encode_anew", False))
    with tempfile.TemporaryDirectory() as folder:
        arguments: dict[str, Any] = {
            "num_train_epochs": setting["epochs"], "seed": seed, "validation_split": 0.0, "report_to": (),
            "samples": False, "logging_steps": 1 << 30, "save_strategy": "no", "token_cache": False,
            **({"output_dir": str(Path(folder, "run"))} if setting.get("files") else {}),
            **setting.get("arguments", {}),
        }  # fmt: skip
        trainer = rgz.Trainer(
            rgz.Model(config, seed=seed),
            tokenizer,
            train,
            val if setting.get("validate", True) else None,
            rgz.TrainingArguments.from_dict(arguments),
            [stopwatch],
            stream=io.StringIO(),
        )
        history = trainer.train()
        left = trainer.evaluate()["val_loss"] if trainer.has_validation else None
    return {
        "seconds": stopwatch.seconds,
        "losses": [report["val_loss"] for report in history if "val_loss" in report],
        "left": left,
        "tokens": trainer.plan.train.n_targets,
        "characters_per_token": held_out.n_characters / held_out.n_targets,
        "parameters": trainer.model.num_parameters(),
    }


def _Stopwatch(encode: Any, train: Any, tokenizer: Any, encode_anew: bool) -> Any:
    import rgz

    class Stopwatch(rgz.Callback):
        """Seconds from the beginning of an epoch to that of the next, or to the end; the encoding among them."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._began: float | None = None

        def on_epoch_begin(self, trainer: Any, state: Any) -> None:
            self._lap()
            self._began = time.perf_counter()
            if encode_anew:
                encode(train, tokenizer)

        def on_train_end(self, trainer: Any, state: Any) -> None:
            self._lap()

        def _lap(self) -> None:
            if self._began is not None:
                self.seconds.append(time.perf_counter() - self._began)

    return Stopwatch()


def in_a_process(data: str | os.PathLike[str], setting: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome of a run in a process of its own, with the setting's environment."""
    command = [sys.executable, __file__, str(data), json.dumps(setting)]
    environment = {**os.environ, **setting.get("environment", {})}
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    if child.returncode:
        raise RuntimeError(f"{key_of(setting)} ended with exit code {child.returncode}:\n{child.stderr}")
    result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return result


def per_character(loss: float, result: Mapping[str, Any]) -> float:
    """Perplexity a character of the held-out text: it does not depend on how the text is cut into tokens."""
    return math.exp(loss / result["characters_per_token"])


if __name__ == "__main__":
    print(json.dumps(outcome(sys.argv[1], json.loads(sys.argv[2]))))
