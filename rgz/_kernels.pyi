"""The only door to C: one function per kernel. Shapes, and what is written, stand in csrc/kernels.

Arrays must be C-contiguous, except that attention's q, k, v, out and their gradients and
rope's x may be parts of wider rows.
Activations, their gradients and weights to compute with are Reals; statistics, sums and parameter gradients float32.
Wrong shapes, types, indices and sizes raise ValueError, a missing array TypeError; nothing is copied or cast.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Reals = NDArray[Any]  # float32, float16, or bfloat16 in uint16: all Reals of a call in the same
Halves = NDArray[np.uint16]  # bfloat16
Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Text = NDArray[np.uint32]
Offsets = NDArray[np.int64]

def isas() -> list[tuple[str, bool, bool]]: ...
def active_isa() -> str: ...
def select_isa(name: str) -> None: ...
def set_sgemm(capsule: object) -> None: ...
def has_sgemm() -> bool: ...
def openmp() -> int: ...
def openmp_limit() -> int: ...
def openmp_cpus() -> set[int]: ...
def attention_scratch(head_size: int, n_threads: int) -> int: ...
def norm_scratch(rows: int, cols: int) -> int: ...
def squared_norm_scratch(n: int) -> int: ...
def moment_blocks(n: int, n_decayed: int) -> int: ...
def linear_forward(
    y: Reals, x: Reals, weight: Reals, bias: Floats | None, residual: Reals | None, n_threads: int
) -> None: ...
def linear_activation_forward(
    activated: Reals, y: Reals, x: Reals, weight: Reals, bias: Floats | None, activation: str, n_threads: int
) -> None: ...
def linear_backward(
    dx: Reals | None,
    dweight: Floats | None,
    dbias: Floats | None,
    dy: Reals,
    x: Reals,
    weight: Reals,
    n_threads: int,
) -> None: ...
def lm_logits(y: Floats, x: Reals, weight: Reals, bias: Floats | None, n_threads: int) -> None: ...
def matmul(c: Reals, a: Reals, b: Reals, n_threads: int) -> None: ...
def lm_loss(
    losses: Floats,
    dx: Reals | None,
    dweight: Floats | None,
    dbias: Floats | None,
    x: Reals,
    weight: Reals,
    bias: Floats | None,
    targets: Ints,
    logits: Floats,
    loss_scale: float,
    n_threads: int,
) -> None: ...
def layernorm_forward(
    y: Reals, mean: Floats, rstd: Floats, x: Reals, weight: Floats, bias: Floats, eps: float, n_threads: int
) -> None: ...
def layernorm_backward(
    dx: Reals,
    dweight: Floats,
    dbias: Floats,
    scratch: Floats,
    dy: Reals,
    x: Reals,
    weight: Floats,
    mean: Floats,
    rstd: Floats,
    accumulate: bool,
    n_threads: int,
) -> None: ...
def rmsnorm_forward(y: Reals, rstd: Floats, x: Reals, weight: Floats, eps: float, n_threads: int) -> None: ...
def rmsnorm_backward(
    dx: Reals,
    dweight: Floats,
    scratch: Floats,
    dy: Reals,
    x: Reals,
    weight: Floats,
    rstd: Floats,
    accumulate: bool,
    n_threads: int,
) -> None: ...
def relu_forward(y: Reals, x: Reals, n_threads: int) -> None: ...
def relu_backward(dx: Reals, dy: Reals, x: Reals, n_threads: int) -> None: ...
def gelu_forward(y: Reals, x: Reals, n_threads: int) -> None: ...
def gelu_backward(dx: Reals, dy: Reals, x: Reals, n_threads: int) -> None: ...
def gelu_tanh_forward(y: Reals, x: Reals, n_threads: int) -> None: ...
def gelu_tanh_backward(dx: Reals, dy: Reals, x: Reals, n_threads: int) -> None: ...
def swiglu_forward(y: Reals, x: Reals, n_threads: int) -> None: ...
def swiglu_backward(dx: Reals, dy: Reals, x: Reals, n_threads: int) -> None: ...
def embedding_forward(
    out: Reals,
    tokens: Ints,
    weight: Reals,
    positions: Ints | None,
    position_weight: Reals | None,
    n_threads: int,
) -> None: ...
def embedding_backward(dweight: Floats, indices: Ints, dout: Reals, n_threads: int) -> None: ...
def rope(x: Reals, positions: Ints, cosines: Floats, sines: Floats, inverse: bool, n_threads: int) -> None: ...
def attention_forward(
    out: Reals,
    lse: Floats,
    q: Reals,
    k: Reals,
    v: Reals,
    cu_seqlens: Ints,
    scratch: Floats,
    scale: float,
    causal: bool,
    n_threads: int,
) -> None: ...
def attention_backward(
    dq: Reals,
    dk: Reals,
    dv: Reals,
    dout: Reals,
    q: Reals,
    k: Reals,
    v: Reals,
    out: Reals,
    lse: Floats,
    cu_seqlens: Ints,
    scratch: Floats,
    scale: float,
    causal: bool,
    n_threads: int,
) -> None: ...
def attention_decode(
    out: Reals,
    q: Reals,
    k_cache: Reals,
    v_cache: Reals,
    lengths: Ints,
    scores: Floats,
    scale: float,
    n_threads: int,
) -> None: ...
def cache_append(k_cache: Reals, v_cache: Reals, k: Reals, v: Reals, lengths: Ints, n_threads: int) -> None: ...
def dropout_forward(
    y: Reals, x: Reals, residual: Reals | None, p: float, seed: int, stream: int, n_threads: int
) -> None: ...
def dropout_backward(dx: Reals, dy: Reals, p: float, seed: int, stream: int, n_threads: int) -> None: ...
def cast_from_float(y: Reals, x: Floats, n_threads: int) -> None: ...
def cast_to_float(y: Floats, x: Reals, n_threads: int) -> None: ...
def squared_norm(scratch: Doubles, x: Floats, n_threads: int) -> float: ...
def adamw(
    weight: Floats,
    copy: Reals | None,
    grad: Floats,
    m: Floats,
    v: Floats,
    n_decayed: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    correction1: float,
    correction2: float,
    grad_scale: float,
    n_threads: int,
) -> None: ...
def adamw_bf16(
    weight: Floats,
    copy: Reals | None,
    grad: Floats,
    m: Halves,
    v: Halves,
    n_decayed: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    correction1: float,
    correction2: float,
    grad_scale: float,
    seed: int,
    stream: int,
    n_threads: int,
) -> None: ...
def adamw_int8(
    weight: Floats,
    copy: Reals | None,
    grad: Floats,
    m: NDArray[np.int8],
    v: Bytes,
    m_units: Floats,
    v_units: Floats,
    n_decayed: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    correction1: float,
    correction2: float,
    grad_scale: float,
    seed: int,
    stream: int,
    n_threads: int,
) -> None: ...

# csrc/text

def text_gather(gathered: list[str], texts: Iterator[str], size: int, most: int, a_text: int) -> tuple[Any, ...]: ...
def text_offsets(texts: list[str], documents: Offsets) -> int: ...
def text_pack(texts: list[str], out: Text, documents: Offsets) -> None: ...
def text_segment(text: str, dictionary: TextDictionary, hmm: bool) -> list[str]: ...
def text_pieces(text: str, characters: NDArray[np.uint32], ends: Offsets) -> list[str]: ...
def text_spans(spans: Offsets, first: Offsets, text: Text, documents: Offsets, length: int) -> int: ...
def text_scratch(longest_span: int, n_threads: int) -> int: ...
def dictionary_bytes(n_units: int, n_values: int) -> int: ...
def dictionary_build_scratch(n_nodes: int, n_codes: int, n_units: int) -> int: ...
def dictionary_build(
    block: Bytes,
    n_units: int,
    key: Bytes,
    codes: NDArray[np.uint16],
    offsets: Offsets,
    value: NDArray[np.uint16],
    values: Doubles,
    code: NDArray[np.uint16],
    n_codes: int,
    unknown: float,
    start: Doubles,
    trans: Doubles,
    emit: Doubles,
    scratch: Bytes,
) -> int: ...

class TextDictionary:
    def __init__(self, block: Bytes) -> None: ...
    @property
    def key(self) -> bytes: ...

def text_cut(
    ends: Ints,
    counts: Offsets,
    dictionary: TextDictionary,
    text: Text,
    spans: Offsets,
    starts: Ints,
    hmm: bool,
    scratch: Bytes,
    n_threads: int,
) -> int: ...

class TextVocabulary:
    def __init__(self, characters: Text, offsets: Offsets, slots: Ints, first_id: int, first_byte_id: int) -> None: ...

def text_encode(
    ids: Ints,
    counts: Offsets,
    dictionary: TextDictionary | None,
    vocabulary: TextVocabulary,
    text: Text,
    spans: Offsets,
    scratch: Bytes,
    n_threads: int,
) -> int: ...

class TextCounter:
    def __init__(self, n_threads: int) -> None: ...
    def add(
        self,
        dictionary: TextDictionary | None,
        text: Text,
        spans: Offsets,
        longest: int,
        scratch: Bytes,
        n_threads: int,
    ) -> None: ...
    def sizes(self) -> tuple[int, int]: ...
    def items(self, characters: Text, offsets: Offsets, counts: Offsets) -> None: ...

def unicode_version() -> str: ...
def piece_ends(text: bytes, pattern: int) -> list[int]: ...

class BPETrainer:
    def __init__(self, pattern: int, n_threads: int) -> None: ...
    def add(self, text: bytes, offsets: Offsets) -> None: ...
    def learn(self, merges: Ints, byte_symbols: Ints, min_count: int) -> int: ...

class BPEEncoder:
    def __init__(self, pattern: int, byte_symbols: Ints, merges: Ints) -> None: ...
    def encode(self, ids: Ints, lengths: Offsets, text: bytes, offsets: Offsets, n_threads: int) -> None: ...

class Calls:
    def linear_forward(
        self, y: Reals, x: Reals, weight: Reals, bias: Floats | None, residual: Reals | None, n_threads: int
    ) -> None: ...
    def linear_activation_forward(
        self, activated: Reals, y: Reals, x: Reals, weight: Reals, bias: Floats | None, activation: str, n_threads: int
    ) -> None: ...
    def lm_logits(self, y: Floats, x: Reals, weight: Reals, bias: Floats | None, n_threads: int) -> None: ...
    def layernorm_forward(
        self, y: Reals, mean: Floats, rstd: Floats, x: Reals, weight: Floats, bias: Floats, eps: float, n_threads: int
    ) -> None: ...
    def rmsnorm_forward(self, y: Reals, rstd: Floats, x: Reals, weight: Floats, eps: float, n_threads: int) -> None: ...
    def swiglu_forward(self, y: Reals, x: Reals, n_threads: int) -> None: ...
    def embedding_forward(
        self,
        out: Reals,
        tokens: Ints,
        weight: Reals,
        positions: Ints | None,
        position_weight: Reals | None,
        n_threads: int,
    ) -> None: ...
    def rope(
        self, x: Reals, positions: Ints, cosines: Floats, sines: Floats, inverse: bool, n_threads: int
    ) -> None: ...
    def cache_append(
        self, k_cache: Reals, v_cache: Reals, k: Reals, v: Reals, lengths: Ints, n_threads: int
    ) -> None: ...
    def attention_decode(
        self,
        out: Reals,
        q: Reals,
        k_cache: Reals,
        v_cache: Reals,
        lengths: Ints,
        scores: Floats,
        scale: float,
        n_threads: int,
    ) -> None: ...

class Recording(Calls):
    def play(self) -> None: ...

NOW: Calls
