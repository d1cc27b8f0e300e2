"""What watching a run costs: the same sixty updates with every reporter, samples and a report each, and with none."""

import io

import numpy as np
import pytest

import rgz

TEXTS = [f"第{i}天，太阳从东方升起，照亮了山谷和河流，第{i * 7 % 100}号渡船开始过江。" for i in range(400)]
WATCHED = {
    "nothing": {"report_to": (), "samples": False, "logging_steps": 60},
    "as usual": {"logging_steps": 10},
    "everything": {"report_to": ("console", "jsonl", "csv", "tensorboard"), "logging_steps": 1, "eval_steps": 20},
}
WEIGHTS = {}


@pytest.mark.parametrize("watched", WATCHED)
def test_sixty_updates(benchmark, tmp_path, watched):
    tokenizer = rgz.CharTokenizer.train(TEXTS, min_frequency=1)
    config = rgz.ModelConfig.preset("pico", vocab_size=tokenizer.vocab_size)
    settings = {
        "max_steps": 60,
        "eval_steps": 60,
        "save_strategy": "no",
        "batch_size": 4,
        "output_dir": str(tmp_path / "run"),
    }

    def train():
        args = rgz.TrainingArguments(**{**settings, "overwrite": True, **WATCHED[watched]})
        trainer = rgz.Trainer(rgz.Model(config, seed=0), tokenizer, TEXTS, None, args, stream=io.StringIO())
        return trainer.train(), trainer.model.parameters()

    history, weights = train()
    assert history[-1]["step"] == 60
    WEIGHTS[watched] = np.concatenate([array.ravel() for array in weights.values()])
    if watched == "as usual":  # more evaluations choose other best weights
        np.testing.assert_array_equal(WEIGHTS["nothing"], WEIGHTS[watched])
    benchmark.extra_info.update(reports=len(history), updates=60)
    benchmark.pedantic(train, rounds=5)
