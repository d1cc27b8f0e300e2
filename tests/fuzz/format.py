"""What a format is: the whole files that are damaged, and what reading one means.

A reader is given a folder with the damaged file in it; it raises RgzError if that was refused. What it returns, if
anything, is then called: a use of what was read, whose memory is not counted. AssertionError: it was read, but wrongly.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TEXTS = [
    "太阳从东方升起，照亮了山谷。",
    "月亮在夜里反射太阳的光 abc 123。",
    "长江是中国最长的河\t流进东海\n",
    "𠮷野家🙂 it's",
]
PROBE = "太阳😀从 east's 升起，\n长江𠮷\u0000x12"
KEY = "of the fuzzer"
Check = Callable[[], None]


@dataclass(frozen=True)
class Format:
    """name : of the file that is damaged. files : makes the whole ones, each a folder's content by name.

    read : see above. seal : what an attacker would put right again after a damage.
    Reading may take `factor` times the file's size and `constant` bytes: by numbers in the file nothing may be sized
    that the file does not hold. Where text becomes Python's objects the factor is theirs (`[]` are 2 bytes, and 64 in
    memory with the place in a list; a line of 2 characters 59).
    """

    name: str
    files: Callable[[], list[dict[str, bytes]]]
    read: Callable[[Path, bytes], Check | None]
    seal: Callable[[bytes], bytes] | None = None
    factor: int = 2
    constant: int = 300_000  # the buffer of hashlib.file_digest is the largest


OBJECTS = 100


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made_by(write: Callable[[Path], object]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        return content(Path(name))
