"""Writing with the rustgpt-chinese shape (6.0M parameters, random weights), beside PyTorch eager with a KV cache.

pytest benches/test_generation.py --benchmark-columns=median,rounds
"""

import itertools

import numpy as np
import pytest
from findings import median_seconds, record

import rgz
from rgz.generate import stream

PROMPT, NEW = 16, 100  # tokens; together within the model's 128 positions
SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.95}
LENGTHS = [16, 112, 48, 80, 24, 96, 64, 32] * 2  # of the batch of prompts


@pytest.fixture(scope="module")
def tokenizer():
    """9,620 ids, all but the special tokens and the bytes a Chinese character each."""
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 9620 - rgz.ByteTokenizer().vocab_size)))
    return rgz.CharTokenizer(characters)


@pytest.fixture(scope="module")
def model(tokenizer):
    """It never ends a text by itself, and writes whole characters only: every run is NEW tokens long."""
    model = rgz.Model(rgz.ModelConfig.preset("rustgpt-chinese", vocab_size=tokenizer.vocab_size, dropout=0.0), seed=3)
    model.parameters()["lm_head.bias"][: rgz.ByteTokenizer().vocab_size] = -100.0
    return model


@pytest.fixture(scope="module")
def prompt():
    return np.random.default_rng(0).integers(1000, 9000, PROMPT).tolist()


def write_with_rgz(model, tokenizer, prompt, sampling):
    return "".join(stream(model, tokenizer, prompt, max_new_tokens=NEW, **sampling))


def write_with_torch(rival, tokenizer, prompt, sampling):
    """The same filters in torch's operations; each token is made into text as it comes, as a reader would see it."""
    import torch
    from torch_model import TorchCache

    def pick(logits):
        if sampling.get("greedy"):
            return int(logits.argmax())
        kept, ids = (logits / sampling["temperature"]).topk(sampling["top_k"])
        p = kept.softmax(0)
        p = p * (p.cumsum(0) - p < sampling["top_p"])
        return int(ids[torch.multinomial(p, 1)])

    with torch.inference_mode():
        cache, decoder = TorchCache(rival.config, 1), tokenizer.stream()
        ids, pieces = torch.tensor([prompt]), []
        for _ in range(NEW):
            token = pick(rival.head(rival.hidden(ids, cache)[0, -1]))
            pieces.append(decoder.push(token))
            ids = torch.tensor([[token]])
        return "".join(pieces)


def build_writer(rival, request, model, tokenizer, prompt, sampling):
    if rival == "rgz":
        return write_with_rgz, model
    threads = request.getfixturevalue("torch_threads")
    from torch_model import TorchDecoder

    writer = TorchDecoder(model.config, model.parameters())

    def seconds(count):
        threads(count)
        return median_seconds(lambda: write_with_torch(writer, tokenizer, prompt, sampling), rounds=3)

    threads(min((1, rgz.info()["n_threads"]), key=seconds))  # the better: products this small may not need two
    return write_with_torch, writer


@pytest.mark.parametrize("rival", ["rgz", "torch"])
@pytest.mark.parametrize("way", ["greedy", "sampled"])
def test_generation(benchmark, request, model, tokenizer, prompt, way, rival):
    sampling = {"greedy": True} if way == "greedy" else SAMPLING
    write, writer = build_writer(rival, request, model, tokenizer, prompt, sampling)
    text = write(writer, tokenizer, prompt, sampling)
    assert len(tokenizer.encode(text)) == len(text) == NEW
    if way == "greedy":
        assert text == written_without_a_cache(model, tokenizer, prompt)
    benchmark.group = way
    benchmark.pedantic(write, (writer, tokenizer, prompt, sampling), rounds=15, warmup_rounds=2)
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    rate = NEW / benchmark.stats.stats.median
    benchmark.extra_info.update(tokens=NEW, tokens_per_second=rate)
    record(benchmark, way, rival, rate)


def written_without_a_cache(model, tokenizer, prompt):
    """The likeliest token of all that came before, read anew each time: what both rivals must have written."""
    ids = list(prompt)
    for _ in range(NEW):
        ids.append(int(model(np.array([ids]))[0, -1].argmax()))
    return tokenizer.decode(ids[PROMPT:])


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Folder of a model whose weights fit no cache: the base preset, 101M parameters."""
    folder = tmp_path_factory.mktemp("large")
    rgz.Model(rgz.ModelConfig.preset("base", vocab_size=8000)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_tokens_of_a_large_model(benchmark, large, dtype):
    """One text, a token at a time: bound by reading the weights."""
    model = rgz.Model.from_pretrained(large, dtype=dtype)
    tokens, threads = np.array([7], np.int32), rgz.info()["n_threads"]
    cache = model.new_cache(1, 256)
    logits = model.read([np.arange(PROMPT, dtype=np.int32)], cache, threads)
    whole = model(np.arange(PROMPT)[None])[0, -1]
    np.testing.assert_allclose(logits[0], whole, atol=0.05 * np.abs(whole).max())

    def write():
        for _ in range(10):
            model.advance(tokens, cache, logits, threads)

    benchmark.group = "greedy large"
    benchmark.pedantic(write, rounds=10, warmup_rounds=1)
    if not benchmark.disabled:
        rate = 10 / benchmark.stats.stats.median
        for half in ("bfloat16", "float16"):
            if dtype in (half, "float32"):
                record(benchmark, f"greedy large {half}", "rgz" if dtype == half else "rgz float32", rate)


def prefill_with_rgz(model, prompts):
    threads = rgz.info()["n_threads"]
    return lambda: model.read(prompts, model.new_cache(len(prompts), max(LENGTHS)), threads)


def prefill_with_torch(model, prompts):
    """Padded on the right, which causal attention never sees; the output layer reads each prompt's last row only."""
    import torch
    from torch_model import TorchCache, TorchDecoder

    rival = TorchDecoder(model.config, model.parameters())
    ids = torch.tensor(np.array(list(itertools.zip_longest(*prompts, fillvalue=0))).T)
    rows, last = torch.arange(len(prompts)), torch.tensor(LENGTHS) - 1

    def read():
        with torch.inference_mode():
            return rival.head(rival.hidden(ids, TorchCache(model.config, len(prompts)))[rows, last]).numpy()

    return read


@pytest.mark.parametrize("rival", ["rgz", "torch"])
def test_reading_a_batch_of_prompts(benchmark, needs, model, rival):
    needs(rival)
    random = np.random.default_rng(1)
    prompts = [random.integers(1000, 9000, length).astype(np.int32) for length in LENGTHS]
    read = {"rgz": prefill_with_rgz, "torch": prefill_with_torch}[rival](model, prompts)
    expected = [model(ids[None])[0, -1] for ids in prompts]
    np.testing.assert_allclose(read(), expected, atol=1e-4)
    benchmark.group = "prefill"
    benchmark.pedantic(read, rounds=15, warmup_rounds=2)
    if benchmark.disabled:
        return
    rate = sum(LENGTHS) / benchmark.stats.stats.median
    benchmark.extra_info.update(tokens=sum(LENGTHS), tokens_per_second=rate)
    record(benchmark, "prefill", rival, rate)
