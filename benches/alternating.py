"""A program of its own in which rgz and a guest take turns; the last line it prints is JSON.

python benches/alternating.py GUEST FIRST CALL

FIRST : who is imported first, "rgz" or "guest". CALL : of rgz, see CALLS.
{"rgz": ms, "guest": ms, "pair": ms, "ratio": pair / (rgz + guest), "same": whether both gave what they give alone}
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

Call = Callable[[], object]
SECONDS, ROUNDS = 1.0, 3  # of each measurement; the best of so many counts


def short_step() -> Call:
    return a_step(hidden_size=64, layers=1, batch=4, length=64)


def step() -> Call:
    return a_step(hidden_size=256, layers=2, batch=16, length=128)


def a_step(hidden_size: int, layers: int, batch: int, length: int) -> Call:
    import numpy as np

    import rgz

    config = rgz.ModelConfig.preset(
        "gpt2", vocab_size=2000, hidden_size=hidden_size, num_hidden_layers=layers, num_attention_heads=4,
        max_position_embeddings=length, dropout=0.0,
    )  # fmt: skip
    step = rgz.TrainStep(rgz.Model(config), rgz.AdamW(lr=1e-30))  # no weight moves: each call is the same
    ids = np.random.default_rng(0).integers(4, 2000, (batch, length), dtype=np.int32)
    return lambda: step(ids).loss


def tokens() -> Call:
    """Twenty tokens of a text."""
    import rgz

    model = rgz.Model(rgz.ModelConfig.preset("nano", vocab_size=2000))
    return lambda: model.generate(rgz.ByteTokenizer(), "太阳", max_new_tokens=20, greedy=True)


CALLS: dict[str, Callable[[], Call]] = {"short step": short_step, "step": step, "tokens": tokens}


def torch_matmul() -> Call:
    import torch

    a = torch.arange(400 * 400, dtype=torch.float32).reshape(400, 400) / 1e5
    return lambda: (a @ a).sum().item()


def torch_layer() -> Call:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(256, 4, 512, dropout=0.0, batch_first=True)
    x = torch.rand(4, 32, 256)

    def both_ways() -> float:
        layer.zero_grad()
        loss = layer(x).sum()
        loss.backward()
        return layer.linear1.weight.grad.sum().item()

    return both_ways


def numpy_matmul() -> Call:
    import numpy as np

    a = np.arange(400 * 400, dtype=np.float32).reshape(400, 400) / 1e5
    return lambda: float((a @ a).sum())


def sklearn_fit() -> Call:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = np.random.default_rng(0).random((2000, 8))
    trees = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=15, random_state=0)
    return lambda: trees.fit(x, x.sum(1) > 4).predict_proba(x[:100]).sum()


GUESTS: dict[str, Callable[[], Call]] = {
    "torch matmul": torch_matmul, "torch layer": torch_layer, "numpy matmul": numpy_matmul, "sklearn fit": sklearn_fit,
}  # fmt: skip


def median_seconds(*calls: Call) -> float:
    """Of the calls in turn."""
    for call in calls:
        call()
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        for call in calls:
            call()
        times.append(time.perf_counter() - began)
    time.sleep(0.05)  # whoever still spins falls asleep
    return statistics.median(times)


def close(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-3 * abs(one)  # torch's sums depend on its threads
    return one == other


def main(guest: str, first: str, call: str) -> None:
    makers = [CALLS[call], GUESTS[guest]]
    made = [maker() for maker in (makers if first == "rgz" else makers[::-1])]
    ours, theirs = made if first == "rgz" else made[::-1]
    alone = ours(), theirs()
    rounds = [(median_seconds(ours), median_seconds(theirs), median_seconds(ours, theirs)) for _ in range(ROUNDS)]
    together = ours(), theirs()
    rgz, other, pair = (min(values) * 1e3 for values in zip(*rounds, strict=True))
    same = bool(alone[0] == together[0] and close(alone[1], together[1]))
    print(json.dumps({"rgz": rgz, "guest": other, "pair": pair, "ratio": pair / (rgz + other), "same": same}))


if __name__ == "__main__":
    main(*sys.argv[1:])
