import pytest


@pytest.fixture(autouse=True)
def errors_in_english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")
