"""What the benchmarks find out: the list that they record into and that the report is made from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RATE, TIME, SIZE, FACTOR = "rate", "time", "size", "factor"  # more is better; less; less; a number without rivals


@dataclass(frozen=True)
class Finding:
    """A row of the report: its title in both languages, the unit of its values, and which way is better."""

    english: str
    chinese: str
    unit: str
    kind: str = RATE


_STEP = {  # shape: (model, batch), in both languages
    "S": ("2 layers of 256, vocabulary 12,000, 16 x 128 tokens", "2 层宽 256，词表 12,000，16 x 128 词元"),
    "M": ("8 layers of 512, vocabulary 6,400, 8 x 256 tokens", "8 层宽 512，词表 6,400，8 x 256 词元"),
    "L": ("GPT-2 124M, 4 x 256 tokens", "GPT-2 124M，4 x 256 词元"),
}
_BANDWIDTH = {
    "layer_norm": ("layer norm", "层归一化"),
    "gelu": ("GELU", "GELU"),
    "softmax_loss": ("softmax and cross-entropy of finished logits", "logits 的 softmax 与交叉熵"),
    "adamw": ("AdamW", "AdamW"),
    "adamw_int8": ("AdamW with moments in 8 bits", "AdamW，动量用 8 位"),
    "dropout": ("dropout", "dropout"),
    "embedding": ("embedding", "词嵌入"),
}
ATTENTION = [(16, 8, 128, 32), (8, 8, 512, 64), (2, 8, 2048, 64), (1, 8, 4096, 64)]  # batch, heads, time, head size
PRODUCTS = [(2048, 256, 768), (2048, 1024, 256), (2048, 256, 12000), (2048, 2048, 2048)]  # m, k, n
LAYERS = [(size, size, size) for size in (1024, 2048, 4096)] + [  # rows, in, out
    (2048, 256, 768), (2048, 1024, 256), (256, 256, 12000), (2048, 512, 1536), (2048, 2048, 512), (256, 512, 6400),
    (1024, 768, 2304), (1024, 3072, 768), (256, 768, 50257),
]  # fmt: skip

FINDINGS: dict[str, Finding] = {
    **{
        f"step {name}": Finding(f"training update: {english}", f"一次参数更新：{chinese}", "tokens/s")
        for name, (english, chinese) in _STEP.items()
    },
    **{
        f"memory {name}": Finding(f"peak memory of that process: {english}", f"其进程的内存峰值：{chinese}", "MB", SIZE)
        for name, (english, chinese) in _STEP.items()
    },
    **{
        f"step {name} {dtype}": Finding(f"the same update in {dtype}: {name}", f"同一更新，{dtype}：{name}", "tokens/s")
        for name in _STEP
        for dtype in ("bfloat16", "float16")
    },
    **{
        f"step {name} smallest": Finding(
            f"the same update in the least memory: {name}", f"同一更新，内存最省：{name}", "tokens/s"
        )
        for name in _STEP
    },
    **{
        f"memory {name} bfloat16": Finding(
            f"its peak memory in bfloat16: {name}", f"其内存峰值，bfloat16：{name}", "MB", SIZE
        )
        for name in _STEP
    },
    **{
        f"memory {name} smallest": Finding(
            f"the same, moments in 8 bits, 256 rows at a time: {name}", f"同上，动量只用 8 位，每次 256 行：{name}",
            "MB", SIZE,
        )
        for name in _STEP
    },
    **{
        f"quality {text} {dtype}": Finding(
            f"validation loss in {dtype} to float32's: {text}", f"{dtype} 与 float32 的验证损失之比：{text}", "x",
            FACTOR,
        )
        for text in ("rustgpt-chinese", "china_laws")
        for dtype in ("bfloat16", "float16", "bfloat16 moments", "int8 moments")
    },
    "epoch": Finding(
        "RustGPT-Chinese's corpus, an epoch in batches of 16; PyTorch with like lengths together",
        "RustGPT-Chinese 语料一轮，每批 16 条；PyTorch 把长度相近的放在一批", "s", TIME,
    ),
    "epoch padded": Finding(
        "the same epoch; PyTorch in the corpus's order, padded", "同上；PyTorch 按原顺序填充成批", "s", TIME
    ),
    "greedy": Finding("generation, 6.0M parameters, batch 1, greedy", "生成：600 万参数，一次一条，贪心", "tokens/s"),
    "sampled": Finding("the same, sampled (top-k 40, top-p 0.95)", "同上，采样（top-k 40，top-p 0.95）", "tokens/s"),
    **{
        f"greedy large {dtype}": Finding(
            f"greedy, 101M parameters, weights in {dtype}", f"贪心，1.01 亿参数，权重为 {dtype}", "tokens/s"
        )
        for dtype in ("bfloat16", "float16")
    },
    "prefill": Finding("reading 16 prompts of 16-112 tokens", "读入 16 条 16-112 词元的提示", "tokens/s"),
    **{
        f"attention {shape}": Finding(
            f"attention forward + backward, {shape[0]} x {shape[2]:,} tokens, {shape[1]} heads of {shape[3]}",
            f"注意力前向加反向：{shape[0]} x {shape[2]:,} 词元，{shape[1]} 头，头宽 {shape[3]}", "GFLOP/s",
        )
        for shape in ATTENTION
    },
    "attention memory": Finding(
        "attention over 32,768 tokens: memory beyond inputs and outputs", "32,768 词元的注意力：输入输出之外的内存",
        "MB", SIZE,
    ),
    **{
        f"matmul {shape}": Finding(f"product {shape[0]} x {shape[1]} x {shape[2]}",
                                   f"矩阵乘 {shape[0]} x {shape[1]} x {shape[2]}", "GFLOP/s")
        for shape in PRODUCTS
    },
    **{
        f"layer {dtype} {shape}": Finding(
            f"a layer's three products in {dtype}, {shape[0]:,} rows, {shape[1]:,} to {shape[2]:,}",
            f"一层的三个矩阵乘，{dtype}：{shape[0]:,} 行，{shape[1]:,} 到 {shape[2]:,}", "GFLOP/s",
        )
        for dtype in ("bfloat16", "float16")
        for shape in LAYERS
    },
    **{name: Finding(english, chinese, "GB/s") for name, (english, chinese) in _BANDWIDTH.items()},
    "words": Finding("Chinese to words, 9.3 MB, one thread", "中文分词，9.3 MB，单线程", "MB/s"),
    "words hmm": Finding("the same with the hidden Markov model", "同上，启用隐马尔可夫模型", "MB/s"),
    "word ends threads": Finding(
        "where words end, 22 MB, on all threads against one", "词的边界，22 MB：全部线程对一个线程", "x", FACTOR
    ),
    "ids": Finding("Chinese to ids, 22 MB, all threads", "中文转 id，22 MB，全部线程", "MB/s"),
    "ids threads": Finding("the same, all threads against one", "同上，全部线程对一个线程", "x", FACTOR),
    "bpe training": Finding(
        "byte-level BPE: 8,000 merges learnt from 9.3 MB", "字节级 BPE：从 9.3 MB 学 8,000 个合并", "s", TIME
    ),
    "bpe encoding": Finding(
        "byte-level BPE: 9.3 MB to ids, a line a document", "字节级 BPE：9.3 MB 转 id，每行一篇", "MB/s"
    ),
    "threads": Finding("update S on all threads against one", "更新 S：全部线程对一个线程", "x", FACTOR),
    "import": Finding("import", "导入", "ms", TIME),
    "import ready": Finding("import, with all that training needs", "导入训练所需的一切", "ms", TIME),
    "wheel": Finding("wheel", "wheel 大小", "MB", SIZE),
    "installed": Finding("installed", "安装后大小", "MB", SIZE),
    "installed whole": Finding("installed, with all it depends on", "安装后大小，含全部依赖", "MB", SIZE),
}  # fmt: skip

SUMMARY = (  # what README shows
    *(f"{what} {shape}" for what in ("step", "memory") for shape in _STEP),
    *(f"{what} {shape} bfloat16" for what in ("step", "memory") for shape in _STEP),
    "epoch", "epoch padded", *(f"attention {shape}" for shape in ATTENTION),
    "greedy", "sampled", "greedy large bfloat16", "words", "words hmm", "word ends threads", "ids", "ids threads",
    "bpe training", "bpe encoding", "import ready", "wheel", "installed whole",
)  # fmt: skip
MORE_THREADS = (4, 8, 16)  # that amdahl() is asked about


def record(
    benchmark: Any, finding: str, rival: str, value: float, share_of: dict[str, float] | None = None, **more: Any
) -> None:
    """Note a value of FINDINGS[finding] in extra_info.

    rival : who reached it, "rgz", "torch", "torch.compile" or another's name. share_of : ceilings of the same run in
    the same unit, by name. more : "variant" (an instruction set), "serial_share".
    """
    entry = {"finding": finding, "rival": rival, "value": value, "unit": FINDINGS[finding].unit, **more}
    if share_of:
        entry["share_of"] = {name: value / ceiling for name, ceiling in share_of.items()}
    benchmark.extra_info.setdefault("findings", []).append(entry)


def amdahl(serial_share: float, threads: int) -> float:
    """Speed-up of `threads` threads where `serial_share` of the work runs on one. Amdahl 1967, AFIPS 30, 483-485."""
    return 1 / (serial_share + (1 - serial_share) / threads)


def serial_share(speed_up: float, threads: int) -> float:
    """amdahl() turned round, at least 0: a speed-up beyond the number of threads is noise."""
    return max(0.0, (threads / speed_up - 1) / (threads - 1))


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Of one call of `work`, after one that is not timed."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
