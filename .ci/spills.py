"""Finds products whose sums do not stay in registers. Results are the same, but bfloat16 on AVX2 once took half as long
again because of it.

python .ci/spills.py MACHINE CC...     as `.ci/spills.py x86_64 gcc`

Compiles csrc/units/products.c to assembly for every instruction set of the machine and every storage, and looks at the
innermost loops, those without a label inside, with at least twelve multiply-adds: a vector stored there is most likely
a sum that found no register. Attention (block_mm.h) is not looked at.
"""

import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LABEL = re.compile(r"(\.L\d+):")
JUMP = re.compile(r"\s(?:j[a-z]+|b\.?[a-z]{2}|cbn?z|tbn?z)\s.*?(\.L\d+)$")
MULTIPLY_ADD = re.compile(r"\s(?:vfn?madd|vdpbf16ps|fmla|fmlal2?|bfmmla|bfdot)")
STORE = re.compile(r"\s(?:vmov[a-z]+\s+%[xyz]mm\d+, .*\(|st[rp1]\s+\{?[qdv]\d+)")
FEWEST = 4  # loops of products in a build; fewer, and some have become something that is not looked at
# gcc 12 loads all eight registers of b first and spills four sums, in tile_in_steps only: here that serves edges alone.
KNOWN = {("neonbf16", "bf16"): 1}


def settings():
    """setup.py, for its flags."""
    spec = importlib.util.spec_from_file_location("rgz_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assembly(command: list[str]) -> str:
    """What the compiler prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def loops(text: str):
    """The innermost loops of assembly, as lists of lines."""
    lines = text.splitlines()
    place = {match[1]: i for i, line in enumerate(lines) if (match := LABEL.match(line))}
    for end, line in enumerate(lines):
        match = JUMP.search(line)
        if match and place.get(match[1], end) < end:
            body = lines[place[match[1]] : end + 1]
            if not any(LABEL.match(inner) for inner in body[1:]):
                yield body


def main() -> None:
    machine, *compiler = sys.argv[1:] or [""]
    setup, builds, seen, bad = settings(), [], 0, []
    sets = {isa: flags for isa, (machines, flags, _) in setup.ISAS.items() if machines and machine in machines}
    if not sets or not compiler:
        sys.exit(f"usage: spills.py MACHINE CC..., a machine that setup.py knows and a compiler; got {sys.argv[1:]}")
    for isa, flags in sets.items():
        for storage, name in enumerate(setup.STORAGES):
            if isa in setup.EXTENDED and name not in setup.EXTENDED[isa][1]:
                continue
            defines = [f"-DRGZ_ISA={isa}", f'-DRGZ_VEC_HEADER="simd/vec_{isa}.h"']
            defines += [f"-DRGZ_STORAGE={storage}", f"-DRGZ_STORAGE_NAME={name}", f"-I{ROOT / 'csrc'}"]
            command = [*compiler, "-O3", "-std=gnu11", "-ffp-contract=off", "-fopenmp", *flags, *defines]
            builds.append((isa, name, [*command, "-S", str(ROOT / "csrc/units/products.c"), "-o", "-"]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assemblies = pool.map(assembly, [command for *_, command in builds])
        for (isa, name, _), text in zip(builds, assemblies, strict=True):
            products = [body for body in loops(text) if len([*filter(MULTIPLY_ADD.search, body)]) >= 12]
            spilled = [body for body in products if any(map(STORE.search, body))]
            what = f"{isa}, {name}: {len(spilled)} of {len(products)} loops of products store vectors"
            if len(products) < FEWEST:
                bad.append(f"{what}; at least {FEWEST} loops were expected")
            elif len(spilled) > KNOWN.get((isa, name), 0):
                bad.append("\n".join([what, *spilled[0]]))
            seen += len(products)
    print(*bad, f"{seen} loops of products on {machine}: {len(bad)} builds with sums in memory", sep="\n")
    sys.exit(bool(bad))


main()
