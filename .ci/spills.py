"""Products whose sums do not stay in registers: no result shows it, but on AVX2 bfloat16 once took half as long again.

python .ci/spills.py MACHINE CC...     as `.ci/spills.py x86_64 gcc`

Compiles linear.c and lm_loss.c to assembly for every instruction set of the machine and every storage, and looks at the
innermost loops of a dozen multiply-adds and more: a vector stored to the stack there is a sum that was sent to memory.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LABEL = re.compile(r"(\.L\d+):")
JUMP = re.compile(r"\s(?:j[a-z]+|b\.?[a-z]{2}|cbn?z|tbn?z)\s.*?(\.L\d+)$")
MULTIPLY_ADD = re.compile(r"\s(?:vfn?madd|vdpbf16ps|fmla|fmlal2?|bfmmla|bfdot)")
SPILL = re.compile(r"\s(?:vmov[a-z]+\s+%[xyz]mm\d+, .*\(%r[sb]p\)|st[rp]\s+[qd]\d+.*\[(?:sp|x29))")
# gcc 12 loads all eight registers of b first; only tiles at edges, whole ones stay within registers.
KNOWN = {("neonbf16", "bf16")}


def settings():
    """setup.py, for its flags."""
    spec = importlib.util.spec_from_file_location("rgz_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loops(assembly: str):
    """The innermost loops, as lists of lines."""
    lines = assembly.splitlines()
    place = {match[1]: i for i, line in enumerate(lines) if (match := LABEL.match(line))}
    for end, line in enumerate(lines):
        match = JUMP.search(line)
        if match and place.get(match[1], end) < end:
            body = lines[place[match[1]] : end + 1]
            if not any(LABEL.match(inner) for inner in body[1:]):
                yield body


def main() -> None:
    machine, *compiler = sys.argv[1:]
    setup, seen, bad = settings(), 0, []
    for isa, (machines, flags, _) in setup.ISAS.items():
        if machines is None or machine not in machines:
            continue
        for storage, name in enumerate(setup.STORAGES):
            for source in ("linear.c", "lm_loss.c"):
                defines = [f"-DRGZ_ISA={isa}", f'-DRGZ_VEC_HEADER="simd/vec_{isa}.h"']
                defines += [f"-DRGZ_STORAGE={storage}", f"-DRGZ_STORAGE_NAME={name}", f"-I{ROOT / 'csrc'}"]
                command = [*compiler, "-O3", "-std=gnu11", "-ffp-contract=off", "-fopenmp", *flags, *defines]
                command += ["-S", str(ROOT / "csrc/kernels" / source), "-o", "-"]
                assembly = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                products = [body for body in loops(assembly) if len([*filter(MULTIPLY_ADD.search, body)]) >= 12]
                if not products:
                    sys.exit(f"{source} for {isa}, {name}: no loop of a product was found")
                seen += len(products)
                spilled = [body for body in products if any(map(SPILL.search, body))]
                if spilled and (isa, name) not in KNOWN:
                    bad.append(
                        f"{source} for {isa}, {name}: {len(spilled)} of {len(products)} loops\n" + "\n".join(spilled[0])
                    )
    print(*bad, f"{seen} loops of products on {machine}: {len(bad)} files with sums on the stack", sep="\n")
    sys.exit(bool(bad))


main()
