"""rgz beside torch, NumPy's BLAS and scikit-learn in one process: what calling them in turn costs beyond each alone.

pytest benches/test_guests.py --benchmark-columns=median      the ratios are in extra_info, and printed with -s
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from alternating import CALLS, GUESTS


@pytest.mark.parametrize("first", ["rgz", "guest"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("guest", GUESTS)
def test_taking_turns(benchmark, guest, call, first):
    pytest.importorskip({"torch": "torch", "numpy": "numpy", "sklearn": "sklearn"}[guest.split()[0]])
    program = Path(__file__).with_name("alternating.py")

    def measured():
        command = [sys.executable, program, guest, first, call]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    found = benchmark.pedantic(measured, rounds=1)
    assert found.pop("same")
    print(f"\n{guest}, {call}, {first} first:", ", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    benchmark.extra_info.update(found)
