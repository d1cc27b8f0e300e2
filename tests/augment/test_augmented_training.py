"""Augmentation in the Trainer: the same bits after an interruption, validation left alone, what cannot be refused."""

import io

import numpy as np
import pytest
from augment.test_augmented_batches import SENTENCES, TOKENIZER
from train.fakes import FakeModel, FakeStep, InterruptAt, token_data

from rgz.config import TrainingArguments
from rgz.data import Dataset, encode_dataset
from rgz.errors import RgzError
from rgz.train import Trainer

TEXTS = [SENTENCES[i % 6] + SENTENCES[(i * 5 + 1) % 6] for i in range(30)]


@pytest.fixture
def make(tmp_path):
    def make(name="run", train=TEXTS, val=None, callbacks=(), **arguments):
        defaults = {"num_train_epochs": 4, "batch_size": 4, "max_length": 32, "learning_rate": 0.5, "augment": 0.3,
                    "logging_steps": 3, "eval_steps": 5, "save_steps": 4, "save_seconds": None,
                    "validation_split": 0.2}  # fmt: skip
        args = TrainingArguments(output_dir=str(tmp_path / name), **{**defaults, **arguments})
        stream = io.StringIO()
        model = FakeModel(TOKENIZER.vocab_size)
        trainer = Trainer(model, TOKENIZER, train, val, args, callbacks, step_factory=FakeStep, stream=stream)
        trainer.output = stream.getvalue
        return trainer

    return make


def test_a_resumed_run_sees_the_same_variants(make):
    whole = make("whole")
    whole.train()
    assert whole.state.step > 10
    for step in range(1, whole.state.step):
        trainer = make(callbacks=[InterruptAt(step)])
        with pytest.raises(KeyboardInterrupt):
            trainer.train(resume_from_checkpoint=step > 1)
    trainer = make()
    trainer.train(resume_from_checkpoint=True)
    np.testing.assert_array_equal(trainer.model.table, whole.model.table)
    plain = make("plain", augment=None)
    plain.train()
    assert not np.array_equal(plain.model.table, whole.model.table), "the variants must have been learnt from"


@pytest.mark.parametrize("change", [0.2, None, "deletion=0"])
def test_other_augmentation_is_refused_on_resume(make, change):
    make().train()
    with pytest.raises(RgzError, match=r"augment is .*, but this run began with "):
        make(augment=change).train(resume_from_checkpoint=True)


@pytest.mark.parametrize("augment", [0.5, "multiplier=3"])
def test_validation_is_held_out_before_and_left_alone(make, augment):
    held = Dataset(TEXTS).split(0.2, 0)[1]
    plan = make(augment=augment).prepare()
    np.testing.assert_array_equal(plan.val.ids, encode_dataset(held, TOKENIZER).ids)
    assert plan.train.n_documents >= len(TEXTS) - len(held)


def test_variants_made_ahead_make_the_epoch_longer(make):
    plain, ahead = make(augment=None).prepare(), make(augment={"multiplier": 3}).prepare()
    assert ahead.train.n_documents > 2 * plain.train.n_documents and ahead.varied is None
    assert any("variants of 24 texts" in notice for notice in ahead.notices)


def test_one_document_is_not_validated_on_its_own_variants(make):
    for augment in (0.1, {"multiplier": 5}):
        plan = make(train=["".join(SENTENCES) * 9], augment=augment).prepare()
        assert plan.val is None and any("only one document" in notice for notice in plan.notices)


@pytest.mark.parametrize("batch_tokens", [32, 33, 64, 100])
@pytest.mark.parametrize("group_by_length", [False, True])
def test_variants_keep_to_batch_tokens(make, batch_tokens, group_by_length):
    plan = make(augment=0.9, batch_tokens=batch_tokens, group_by_length=group_by_length).prepare()
    assert plan.max_rows <= batch_tokens
    rows = [len(plan.batches.batch(epoch, i).tokens) for epoch in range(4) for i in range(len(plan.batches))]
    assert batch_tokens // 2 < max(rows) <= plan.max_rows


@pytest.mark.parametrize("augment", [None, 0.3])
def test_too_few_batch_tokens_are_refused_in_the_same_words(make, augment):
    with pytest.raises(RgzError, match=r"batch_tokens must be at least 32, the longest .*, got 31"):
        make(augment=augment, batch_tokens=31).prepare()


def test_ids_cannot_be_varied(make):
    with pytest.raises(RgzError, match="augment needs texts, got ids"):
        make(train=token_data()).prepare()


@pytest.mark.parametrize("train", [[1, 2], [], "a text", None])
def test_what_is_no_list_of_texts_is_refused_as_without_augmentation(make, train):
    with pytest.raises(RgzError, match="training and validation text must be a Dataset"):
        make(train=train).prepare()


def test_the_lists_in_use_are_told(make):
    trainer = make(num_train_epochs=1)
    trainer.train()
    assert "groups of rgz" in trainer.output() and "another variant of each text in every epoch" in trainer.output()
