"""`rgz sft`: a trained model learns to answer, from dialogues, its loss counting the answers only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from rgz.cli.command import Command, Flag
from rgz.cli.flags import CHOSEN, training_flags
from rgz.cli.recipe import BY_SIZE, advise_dtype, choose_rate, choose_size, count_tokens
from rgz.cli.runs import load_run
from rgz.cli.settings import (
    Settings,
    check_early,
    data_argument,
    make_trainer,
    read_texts,
    refuse_unusable,
    run_flags,
    run_info,
    train_or_plan,
    usual_turns,
)
from rgz.errors import RgzError
from rgz.messages import tr

# The last weights are kept: answers go on improving after the validation loss has begun to rise (Ouyang et al. 2022,
# arXiv:2203.02155, 3.5).
DEFAULTS: dict[str, Any] = {"mask_prompts": True, "load_best_model_at_end": False}
_MOST_EPOCHS = 20


def build() -> Command:
    source = Flag(["--from", "source"], metavar="RUN", required=True, help=tr("the run, or checkpoint, to start from"))
    return Command(
        "sft",
        callback=click.pass_context(sft),
        params=[
            data_argument(),
            source,
            *run_flags(),
            *training_flags({**BY_SIZE, **DEFAULTS, "learning_rate": CHOSEN}),
        ],
        help=tr(
            "DATA: dialogues as .jsonl (messages, conversations, instruction/input/output) or texts of the "
            "form 用户：…助手：…. The vocabulary and the shape of the model are those of RUN."
        ),
        examples=(
            "rgz sft dialogues.jsonl --from runs/my-1",
            "rgz sft dialogues.jsonl --from runs/my-1 --learning-rate 3e-4 --num-train-epochs 10",
        ),
    )


def sft(ctx: click.Context, data: tuple[str, ...], source: str, dry_run: bool, **_: Any) -> None:
    from rgz.data import require_dialogue

    settings = Settings.read(ctx, DEFAULTS)
    validation = settings.others.get("validation_data", ())
    draft = check_early(settings.training)
    if draft.output_dir is not None and not dry_run:
        refuse_unusable(draft.output_dir, draft.overwrite)
    loaded = load_run(source)
    if draft.output_dir is not None and Path(draft.output_dir).resolve() in (
        loaded.run.resolve(),
        loaded.folder.resolve(),
    ):
        raise RgzError(tr("{path} holds the model to start from; choose another folder with -o", path=draft.output_dir))
    texts = read_texts(data, validation, draft.validation_split, draft.seed)
    if draft.mask_prompts:
        require_dialogue(texts.train)
    settings.limit_length(loaded.model.config.max_position_embeddings)
    chosen = choose_rate(settings, loaded.model.num_parameters())
    chosen += choose_size(settings, count_tokens(texts, loaded.tokenizer), _MOST_EPOCHS)
    args = settings.arguments(f"{loaded.run_name}-sft")
    info = run_info("sft", data, validation, source=os.path.abspath(loaded.folder), turns=usual_turns(texts.train))
    trainer = make_trainer(loaded.model, loaded.tokenizer, texts, args, info)
    train_or_plan(trainer, texts, dry_run=dry_run, chosen=chosen, advice=advise_dtype(settings))
