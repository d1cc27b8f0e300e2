"""The token cache: a text is encoded once, and every later run on it maps the ids into memory.

Its files (see `rgz.data.token_file`) lie in `tokens/` of the private cache folder, under a name made from what
was encoded and how: another text, tokenizer or version of either has another name, so nothing has to be
invalidated. Files are written aside and renamed: of processes that build the same one at once, each succeeds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rgz import __version__
from rgz.data.dataset import Dataset
from rgz.data.encode import TokenData, encode_dataset
from rgz.data.records import Document
from rgz.data.token_file import read_token_file, write_token_file
from rgz.errors import RgzError, reason_of
from rgz.files import drop_oldest, private_cache_folder, sha256_of
from rgz.messages import tr
from rgz.text import BPETokenizer, Tokenizer
from rgz.text.dictionary import jieba_files
from rgz.text.load import TOKENIZERS
from rgz.text.tokenizer import Progress

LIMIT = 1_000_000_000  # bytes of all files together; a run's worth of text is rarely a hundredth of that
ENCODING = 2  # to be raised when `encode_dataset` or a tokenizer gives other ids for the same text
_ENDING = ".safetensors"


class TokenCache:
    """Encodes through the cache, and remembers what to tell about it.

    on : False encodes anew every time and says nothing.
    """

    def __init__(self, on: bool = True) -> None:
        self._on = on
        self._notices: list[str] = []
        self._reused = self._kept = 0
        self._folder: Path | None = None

    def encode(
        self,
        dataset: Dataset,
        tokenizer: Tokenizer,
        *,
        mask_prompts: bool = False,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> TokenData:
        """Return what `encode_dataset` returns, read from the cache or kept there for the next run.

        A file that is cut short or damaged is told of and written anew. Where nothing can be kept, that is told
        too and the text is encoded for this run only: the cache never stops one.
        """

        def encode() -> TokenData:
            return encode_dataset(dataset, tokenizer, mask_prompts=mask_prompts, n_threads=n_threads, progress=progress)

        if not self._on or not len(dataset) or not self._open(tokenizer):
            return encode()
        assert self._folder is not None
        key = token_key(dataset, tokenizer, mask_prompts=mask_prompts)
        path = self._folder / f"{key[:32]}{_ENDING}"
        if path.exists():
            try:
                data = read_token_file(path, key)
            except RgzError as error:
                self._tell(tr("token cache: {reason}; the text is encoded anew", reason=error))
            else:
                with suppress(OSError):
                    os.utime(path)  # the least recently used is the first to go
                self._reused += data.n_tokens
                return data
        data = encode()
        self._keep(path, data, key)
        return data

    @property
    def notices(self) -> list[str]:
        """Sentences for the user: what was reused, kept, dropped or damaged."""
        told = list(self._notices)
        if self._reused:
            count = f"{self._reused:,}"
            told.append(tr("token cache: {count} tokens reused from {folder}", count=count, folder=self._folder))
        if self._kept:
            told.append(
                tr(
                    "token cache: {count} tokens kept for the next run in {folder} "
                    "(at most {limit} in all; --no-token-cache keeps none)",
                    count=f"{self._kept:,}",
                    folder=self._folder,
                    limit=_shown(LIMIT),
                )
            )
        return told

    def _open(self, tokenizer: Tokenizer) -> bool:
        """Make the folder; tell why where there can be none."""
        if type(tokenizer) not in (*TOKENIZERS.values(), BPETokenizer):  # its code may change without its name
            self._tell(tr("token cache: not for tokenizers of your own; the text is encoded for this run only"))
            return False
        if self._folder is None and (private := private_cache_folder()) is not None:
            with suppress(OSError):
                (private / "tokens").mkdir(mode=0o700, exist_ok=True)
                self._folder = private / "tokens"
        if self._folder is None:
            self._tell(
                tr(
                    "token cache: there is no cache folder that is yours alone and can be written (XDG_CACHE_HOME "
                    "names another); the text is encoded for this run only"
                )
            )
        return self._folder is not None

    def _keep(self, path: Path, data: TokenData, key: str) -> None:
        size = data.ids.nbytes + data.offsets.nbytes + (0 if data.mask is None else data.mask.nbytes)
        if size > LIMIT:
            shown = _shown(size)
            self._tell(tr("token cache: {size} is more than it holds ({limit})", size=shown, limit=_shown(LIMIT)))
            return
        try:
            write_token_file(path, data, key)
        except OSError as error:
            reason = reason_of(error)
            self._tell(tr("token cache: cannot write to {folder}: {reason}", folder=path.parent, reason=reason))
            return
        self._kept += data.n_tokens
        if dropped := drop_oldest(path.parent, f"*{_ENDING}", LIMIT, keep=path):
            limit = _shown(LIMIT)
            self._tell(tr("token cache: over {limit}; dropped its oldest files: {count}", limit=limit, count=dropped))

    def _tell(self, notice: str) -> None:
        if notice not in self._notices:
            self._notices.append(notice)


def token_key(documents: Iterable[Document], tokenizer: Tokenizer, *, mask_prompts: bool) -> str:
    """Hex digits that change with any document, their order, the tokenizer, the mask, and how rgz encodes."""
    how = [ENCODING, _versions(), tokenizer.type, tokenizer.fingerprint, mask_prompts]
    digest = hashlib.sha256(json.dumps(how).encode())
    for document in documents:
        kind = "text" if isinstance(document, str) else "dialogue"
        content = document if isinstance(document, str) else json.dumps(document, sort_keys=True, default=repr)
        encoded = content.encode("utf-8", "surrogatepass")
        digest.update(f"{kind} {len(encoded)} ".encode())  # no document can look like two
        digest.update(encoded)
    return digest.hexdigest()


def _shown(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


@functools.cache
def _versions() -> list[str]:
    """Of rgz, and the digest of jieba's dictionary, which cuts the words; "" where that is not installed.

    A user's words beside it are in the tokenizer's fingerprint.
    """
    try:
        return [__version__, sha256_of(jieba_files().words)]
    except RgzError:
        return [__version__, ""]
