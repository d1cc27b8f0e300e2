"""A run of the command line as small as can be, and what its directory holds in the end."""

import json

SENTENCES = (
    "太阳从东方升起，照亮了山谷。",
    "月亮在夜里反射太阳的光。",
    "长江是中国最长的河，流进东海。",
    "春天来了，花园里开满了花。",
)
TEXT = "".join(f"{SENTENCES[i % 4]}{SENTENCES[(i * 3 + 1) % 4]}\n" for i in range(40))
# Dropout, and a rate so high that the best weights are not the last: both have a state to bring back.
_FLAGS = """
    --tokenizer char --hidden-size 16 --num-hidden-layers 1 --num-attention-heads 2 --num-key-value-heads 1
    --max-position-embeddings 64 --max-length 32 --batch-size 2 --n-threads 1 --dropout 0.1 --no-samples
    --learning-rate 0.05
"""
FLAGS = _FLAGS.split()
TIMES = ("tokens_per_second", "samples_per_second", "eta_seconds")


def next_command(folder, flags):
    """What a user types who finds `folder` as a kill left it."""
    if (folder / "training_args.json").exists():
        return ["resume", folder]
    return ["train", "-o", folder, "--overwrite", *flags]


def contents(folder):
    """Every file and folder of a run by name, with its bytes, but for times and the folder's own name."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path):
    if path.is_dir():
        return None
    if path.name == "metrics.jsonl":
        return [without_times(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name == "state.json":
        state = json.loads(path.read_text())
        state["trainer"]["metrics"] = without_times(state["trainer"]["metrics"])
        return {name: value for name, value in state.items() if name not in ("sha256", "arguments")}
    if path.name == "training_args.json":
        arguments = json.loads(path.read_text())["arguments"]
        return {name: value for name, value in arguments.items() if name != "output_dir"}
    return path.read_bytes()


def without_times(report):
    return {name: value for name, value in report.items() if name not in TIMES}
