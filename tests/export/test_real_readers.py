"""The programs themselves read what is written: llama.cpp (llama-cpp-python) and transformers with PyTorch.

They take minutes to install, so this runs where they are: in the tier "readers" of .ci/run.
"""

import numpy as np
import pytest
from export.conftest import TEXTS
from export.test_export import TALK

from rgz.export import export_gguf, export_transformers
from rgz.text import encode_chat, encode_prompt

ODD = ["", " a  b\t\n\n c", "\u3000中文 ABC123 ２３🙂", "We'LL it's e\u0301", "。\n助手：", "a\r\nb\r\n\r\n c  "]


@pytest.fixture
def logits(model, ids):
    return model(np.array([ids], np.int32))[0]


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-5), ("float16", 5e-3), ("bfloat16", 5e-2)])
def test_llama_cpp(model, tokenizer, ids, logits, tmp_path, dtype, bound):
    llama_cpp = pytest.importorskip("llama_cpp", reason="the tier 'readers' installs it")
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    path = tmp_path / "m.gguf"
    export_gguf(model, tokenizer, path, dtype=dtype)
    for kind in (llama_cpp.GGML_TYPE_F16, llama_cpp.GGML_TYPE_F32):  # of keys and values; the first is its own choice
        theirs = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, verbose=False, type_k=kind, type_v=kind)
        theirs.eval(ids)
        found = np.array(theirs.scores[: len(ids)])
        loose = (
            kind == llama_cpp.GGML_TYPE_F16 or model.config.norm == "layernorm"
        )  # it looks GELU up in a table of float16
        assert np.abs(found - logits).max() < (max(bound, 5e-3) if loose else bound) * np.abs(logits).max()
    for text in [*TEXTS, *ODD]:
        said = theirs.tokenize(text.encode(), add_bos=True, special=False)
        assert said == [tokenizer.bos_id, *tokenizer.encode(text)]
    for generating, end in ((False, 5), (True, 4), (True, 2)):
        form = Jinja2ChatFormatter(
            theirs.metadata["tokenizer.chat_template"], eos_token="</s>", bos_token="<|bos|>",
            add_generation_prompt=generating,
        )  # fmt: skip
        said = theirs.tokenize(form(messages=TALK[:end]).prompt.encode(), add_bos=False, special=True)
        assert said == (encode_prompt(tokenizer, TALK[:end]) if generating else encode_chat(tokenizer, TALK)[0])
    assert (theirs.token_bos(), theirs.token_eos()) == (tokenizer.bos_id, tokenizer.eos_id)


def test_transformers(model, tokenizer, ids, logits, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the tier 'readers' installs it")
    torch = pytest.importorskip("torch", reason="the tier 'readers' installs it")
    folder = tmp_path / "folder"
    export_transformers(model, tokenizer, folder)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    with torch.no_grad():
        found = theirs(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(found - logits).max() < 2e-5 * np.abs(logits).max()
    cut = transformers.AutoTokenizer.from_pretrained(folder)
    for text in [*TEXTS, *ODD]:
        assert cut(text).input_ids == [tokenizer.bos_id, *tokenizer.encode(text)]
        assert cut.decode(tokenizer.encode(text)) == text
    apply = {"tokenize": True, "return_dict": False}
    assert cut.apply_chat_template(TALK, **apply) == encode_chat(tokenizer, TALK)[0]
    for end in (2, 4):
        prompt = cut.apply_chat_template(TALK[:end], add_generation_prompt=True, **apply)
        assert prompt == encode_prompt(tokenizer, TALK[:end])
    assert (cut.bos_token_id, cut.eos_token_id, cut.pad_token_id) == (
        tokenizer.bos_id,
        tokenizer.eos_id,
        tokenizer.pad_id,
    )
