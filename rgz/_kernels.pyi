"""The only door to C: one function per kernel. Shapes, and what is written, stand in csrc/kernels.

Arrays must be C-contiguous, except that attention's q, k, v, out and their gradients and
rope's x may be parts of wider rows.
Wrong shapes, types, indices and sizes raise ValueError, a missing array TypeError; nothing is copied or cast.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Halves = NDArray[np.uint16]  # the bits of bfloat16 or float16
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
def attention_scratch(head_size: int, n_threads: int) -> int: ...
def norm_scratch(rows: int, cols: int) -> int: ...
def squared_norm_scratch(n: int) -> int: ...
def linear_forward(
    y: Floats, x: Floats, weight: Floats, bias: Floats | None, residual: Floats | None, n_threads: int
) -> None: ...
def linear_activation_forward(
    activated: Floats, y: Floats, x: Floats, weight: Floats, bias: Floats | None, activation: str, n_threads: int
) -> None: ...
def linear_backward(
    dx: Floats | None,
    dweight: Floats | None,
    dbias: Floats | None,
    dy: Floats,
    x: Floats,
    weight: Floats,
    n_threads: int,
) -> None: ...
def matmul(c: Floats, a: Floats, b: Floats, n_threads: int) -> None: ...
def lm_loss(
    losses: Floats,
    dx: Floats | None,
    dweight: Floats | None,
    dbias: Floats | None,
    x: Floats,
    weight: Floats,
    bias: Floats | None,
    targets: Ints,
    logits: Floats,
    n_threads: int,
) -> None: ...
def layernorm_forward(
    y: Floats, mean: Floats, rstd: Floats, x: Floats, weight: Floats, bias: Floats, eps: float, n_threads: int
) -> None: ...
def layernorm_backward(
    dx: Floats,
    dweight: Floats,
    dbias: Floats,
    scratch: Floats,
    dy: Floats,
    x: Floats,
    weight: Floats,
    mean: Floats,
    rstd: Floats,
    accumulate: bool,
    n_threads: int,
) -> None: ...
def rmsnorm_forward(y: Floats, rstd: Floats, x: Floats, weight: Floats, eps: float, n_threads: int) -> None: ...
def rmsnorm_backward(
    dx: Floats,
    dweight: Floats,
    scratch: Floats,
    dy: Floats,
    x: Floats,
    weight: Floats,
    rstd: Floats,
    accumulate: bool,
    n_threads: int,
) -> None: ...
def relu_forward(y: Floats, x: Floats, n_threads: int) -> None: ...
def relu_backward(dx: Floats, dy: Floats, x: Floats, n_threads: int) -> None: ...
def gelu_forward(y: Floats, x: Floats, n_threads: int) -> None: ...
def gelu_backward(dx: Floats, dy: Floats, x: Floats, n_threads: int) -> None: ...
def gelu_tanh_forward(y: Floats, x: Floats, n_threads: int) -> None: ...
def gelu_tanh_backward(dx: Floats, dy: Floats, x: Floats, n_threads: int) -> None: ...
def swiglu_forward(y: Floats, x: Floats, n_threads: int) -> None: ...
def swiglu_backward(dx: Floats, dy: Floats, x: Floats, n_threads: int) -> None: ...
def embedding_forward(
    out: Floats,
    tokens: Ints,
    weight: Floats,
    positions: Ints | None,
    position_weight: Floats | None,
    n_threads: int,
) -> None: ...
def embedding_backward(dweight: Floats, indices: Ints, dout: Floats, n_threads: int) -> None: ...
def rope(x: Floats, positions: Ints, cosines: Floats, sines: Floats, inverse: bool, n_threads: int) -> None: ...
def attention_forward(
    out: Floats,
    lse: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    cu_seqlens: Ints,
    scratch: Floats,
    scale: float,
    causal: bool,
    n_threads: int,
) -> None: ...
def attention_backward(
    dq: Floats,
    dk: Floats,
    dv: Floats,
    dout: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    out: Floats,
    lse: Floats,
    cu_seqlens: Ints,
    scratch: Floats,
    scale: float,
    causal: bool,
    n_threads: int,
) -> None: ...
def attention_decode(
    out: Floats,
    q: Floats,
    k_cache: Floats,
    v_cache: Floats,
    lengths: Ints,
    scores: Floats,
    scale: float,
    n_threads: int,
) -> None: ...
def dropout_forward(
    y: Floats, x: Floats, residual: Floats | None, p: float, seed: int, stream: int, n_threads: int
) -> None: ...
def dropout_backward(dx: Floats, dy: Floats, p: float, seed: int, stream: int, n_threads: int) -> None: ...
def to_bf16(half: Halves, x: Floats, n_threads: int) -> None: ...
def from_bf16(x: Floats, half: Halves, n_threads: int) -> None: ...
def to_f16(half: Halves, x: Floats, n_threads: int) -> None: ...
def from_f16(x: Floats, half: Halves, n_threads: int) -> None: ...
def squared_norm(scratch: Doubles, x: Floats, n_threads: int) -> float: ...
def adamw(
    weight: Floats,
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

# csrc/text

def text_pack(texts: list[str], out: Text, documents: Offsets) -> int: ...
def text_segment(text: str, dictionary: TextDictionary, hmm: bool) -> list[str]: ...
def text_pieces(text: str, ends: Offsets) -> list[str]: ...
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
