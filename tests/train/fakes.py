"""A model of one matrix that really learns: logits of the next token are a row of it (a softmax bigram)."""

import json
from dataclasses import dataclass

import numpy as np

from rgz.data import TokenData
from rgz.safetensors import save_file
from rgz.train import Callback


@dataclass(frozen=True)
class FakeConfig:
    vocab_size: int
    max_position_embeddings: int = 64

    def to_dict(self):
        return {"vocab_size": self.vocab_size, "max_position_embeddings": self.max_position_embeddings}


class FakeModel:
    def __init__(self, vocab_size=12, seed=0):
        self.config = FakeConfig(vocab_size)
        self.table = np.random.default_rng(seed).normal(0, 0.1, (vocab_size, vocab_size)).astype(np.float32)

    def num_parameters(self):
        return self.table.size

    def parameters(self):
        return {"table": self.table}

    def save_pretrained(self, folder):
        (folder / "config.json").write_text(json.dumps(self.config.to_dict()))
        save_file(folder / "model.safetensors", self.parameters())


class FakeTokenizer:
    fingerprint = "0123456789abcdef"
    vocab_size = 12

    def save(self, path):
        path.write_text("{}")


class FakeStep:
    """Gradient descent with momentum: like AdamW it has a state that a checkpoint must bring back."""

    def __init__(self, model, args, plan_rows, plan_seqs):
        self.model, self.plan_rows, self.plan_seqs = model, plan_rows, plan_seqs
        self.max_grad_norm = args.max_grad_norm
        self.gradient = np.zeros_like(model.table)
        self.momentum = np.zeros_like(model.table)
        self.n_updates = 0
        self.poisoned = set()  # numbers of accumulate calls whose loss is not finite
        self.calls = 0

    def _forward(self, batch):
        assert len(batch.tokens) <= self.plan_rows and batch.n_sequences <= self.plan_seqs
        counted = batch.targets >= 0
        rows, targets = batch.tokens[counted], batch.targets[counted]
        logits = self.model.table[rows].astype(np.float64)
        logits -= logits.max(1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(1, keepdims=True)
        return rows, targets, p, float(-np.log(p[np.arange(len(rows)), targets]).sum())

    def accumulate(self, batch):
        rows, targets, p, loss = self._forward(batch)
        p[np.arange(len(rows)), targets] -= 1
        np.add.at(self.gradient, rows, p.astype(np.float32))
        self.calls += 1
        return float("nan") if self.calls in self.poisoned else loss

    def update(self, learning_rate, n_targets):
        self.gradient /= n_targets
        norm = float(np.sqrt((self.gradient.astype(np.float64) ** 2).sum()))
        if np.isfinite(norm):
            self.momentum = np.float32(0.9) * self.momentum + self.gradient
            self.model.table -= np.float32(learning_rate) * self.momentum
            self.n_updates += 1
        self.discard()
        return norm

    def discard(self):
        self.gradient[:] = 0

    def evaluate(self, batch):
        return self._forward(batch)[3]

    def state_tensors(self):
        return {"optimizer.m": self.momentum}

    def load_state(self, tensors, n_updates):
        self.momentum = np.array(tensors["optimizer.m"])
        self.n_updates = n_updates


class FakeClock:
    """Every look at it takes `tick` seconds."""

    def __init__(self, tick=0.125):
        self.now, self.tick = 100.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


def token_data(n_documents=40, vocab_size=12, seed=0, longest=12):
    """Documents that count upwards with slips, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(n_documents):
        length = int(rng.integers(3, longest + 1))
        ids = (rng.integers(0, vocab_size) + np.arange(length)) % vocab_size
        slips = rng.random(length) < 0.1
        documents.append(np.where(slips, rng.integers(0, vocab_size, length), ids))
    return TokenData(
        ids=np.concatenate(documents).astype(np.uint16),
        offsets=np.concatenate([[0], np.cumsum([len(d) for d in documents])]).astype(np.int64),
        mask=None,
        fingerprint=FakeTokenizer.fingerprint,
    )


class InterruptAt(Callback):
    def __init__(self, step, event="on_step_end"):
        self.step, self.event = step, event
        setattr(self, event, self.press)

    def press(self, trainer, state):
        if state.step == self.step:
            raise KeyboardInterrupt
