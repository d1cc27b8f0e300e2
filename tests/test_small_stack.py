"""A Python thread with a small stack can call everything: 256 KB is what musl's and many servers' threads have."""

import subprocess
import sys

import pytest

KB = 1024
PREPARED = """
import sys, threading
import numpy as np, rgz
from rgz.text import segment
texts = ["太阳从东方升起，照亮了山谷。It's 3 o'clock\\n" * 20] * 40
config = rgz.ModelConfig(vocab_size=400, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
                         max_position_embeddings=256, dropout=0.1)
model, tokenizer, threads = rgz.Model(config), rgz.ByteTokenizer(), int(sys.argv[1])
ids = np.arange(2000, dtype=np.int32).reshape(8, 250) % 400
a = np.ones((700, 700), np.float32)
q = np.ones((600, 4, 128), np.float32)
answers = []
def work():
    {work}
    answers.append("done")
threading.stack_size({stack})
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(*answers)
"""
WORK = {
    "a training step": "rgz.TrainStep(model, n_threads=threads)(ids)",
    "a product": "rgz.ops.matmul(a, a, n_threads=threads)",
    "attention": "out, lse = rgz.ops.flash_attention(q, q, q); rgz.ops.flash_attention_backward(q, q, q, q, out, lse)",
    "generation": "model.generate(tokenizer, '太阳', max_new_tokens=20, seed=1, n_threads=threads)",
    "beam search": "model.generate(tokenizer, '太阳', max_new_tokens=5, num_beams=3, n_threads=threads)",
    "words": "rgz.WordTokenizer.train(texts, 500).encode_batch(texts, n_threads=threads)",
    "bytes merged": "rgz.BPETokenizer.train(texts, 400, n_threads=threads).encode_batch(texts)",
    "words with the Markov model": "segment(texts[0] * 300, hmm=True)",
    "a whole run": "rgz.Trainer(rgz.Model(config), tokenizer, texts, None, rgz.TrainingArguments("
    "max_steps=2, batch_size=2, max_length=64, n_threads=threads, report_to=(), token_cache=False)).train()",
}


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("work", WORK)
def test_it_runs_on_a_stack_of_256_kb(work, n_threads):
    code = PREPARED.format(work=WORK[work], stack=256 * KB)
    done = subprocess.run([sys.executable, "-c", code, str(n_threads)], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_this_test_can_fail():
    deep = "import ctypes, functools; f = lambda n: n and functools.reduce(lambda a, _: f(n - 1), [0], 0); "
    deep += "sys.setrecursionlimit(10**6); f(10**5)"
    done = subprocess.run([sys.executable, "-c", PREPARED.format(work=deep, stack=256 * KB), "1"], capture_output=True)
    assert done.returncode
