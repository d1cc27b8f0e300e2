"""Processes made by fork, as by multiprocessing and pre-forking servers, answer: serially, saying so once."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# What a parent does before it forks: train, generate and encode, with a team of two.
PARENT = """
import json, multiprocessing, os, sys, threading, warnings
import numpy as np, rgz
from rgz.threads import resolve_threads

def work():
    config = rgz.ModelConfig(vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, dropout=0.1)
    model, ids = rgz.Model(config, seed=1), np.arange(600).reshape(10, 60) % 300
    step = rgz.TrainStep(model, n_threads=2, seed=5)
    losses = [step(ids).loss for _ in range(3)]
    text = model.generate(rgz.ByteTokenizer(), "太阳", max_new_tokens=12, seed=3, n_threads=2)
    words = rgz.WordTokenizer.train(["太阳从东方升起。" * 2000] * 3, 300, n_threads=2)
    merged = rgz.BPETokenizer.train(["太阳从东方升起。" * 2000] * 3, 300, n_threads=2)
    encoded = [t.encode_batch(["东方的太阳" * 3000] * 4, n_threads=2)[0].sum().item() for t in (words, merged)]
    return [losses, text, encoded]

def told(answer):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = answer()
    return result, sum("forked" in str(warning.message) for warning in caught)

def child(_=None):
    return told(work)

def in_a_fork(answer):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, json.dumps(answer()).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)

def grandchild():
    return [child(), in_a_fork(child)]

def beside_a_busy_thread():
    stop = threading.Event()
    thread = threading.Thread(target=lambda: [work() for _ in iter(stop.is_set, True)])
    thread.start()
    try:
        return [in_a_fork(child) for _ in range(3)]
    finally:
        stop.set()

if __name__ == "__main__":
    expected = work()
    assert resolve_threads(2) == 2 or not rgz.info()["openmp"]
    print(json.dumps([expected, {answers}]))
"""
TEAM = "import rgz; raise SystemExit(not rgz.info()['openmp'])"


def run(tmp_path, answers):
    """What the parent expects, and the answers of its children; warnings only where there is OpenMP."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.replace("{answers}", answers), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    warned = int(subprocess.run([sys.executable, "-c", TEAM]).returncode == 0)
    return *json.loads(done.stdout), warned


def test_a_pool_made_by_fork_computes_what_its_parent_does(tmp_path):
    expected, answers, warned = run(tmp_path, 'multiprocessing.get_context("fork").Pool(2).map(child, range(3), 1)')
    assert [answer for answer, _ in answers] == [expected] * 3
    assert {count for _, count in answers} <= {0, warned}  # a worker that answers twice says it once
    assert sum(count for _, count in answers) <= 2 * warned


def test_a_fork_of_a_fork_computes_and_says_it_anew(tmp_path):
    expected, answers, warned = run(tmp_path, "in_a_fork(grandchild)")
    assert answers == [[expected, warned]] * 2


def test_workers_forked_before_and_after_the_first_call_answer_many_requests(tmp_path):
    """As a server that loads a model, answers a first request itself to warm up, then forks its workers."""
    expected, answers, warned = run(tmp_path, "[in_a_fork(lambda: [child(), child(), child()]) for _ in range(2)]")
    for worker in answers:
        assert [answer for answer, _ in worker] == [expected] * 3
        assert [count for _, count in worker] == [warned, 0, 0]


def test_a_fork_from_a_thread_while_another_thread_computes_answers(tmp_path):
    """Locks that the other thread holds are not held in the child."""
    expected, answers, warned = run(tmp_path, "beside_a_busy_thread()")
    assert answers == [[expected, warned]] * 3


def test_spawned_workers_have_their_own_team(tmp_path):
    expected, answers, _ = run(tmp_path, 'multiprocessing.get_context("spawn").Pool(1).map(child, range(2))')
    assert answers == [[expected, 0]] * 2
