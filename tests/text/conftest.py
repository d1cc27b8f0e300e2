import pytest
from tokenizer_samples import TOKENIZERS


@pytest.fixture(autouse=True)
def errors_in_english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]
