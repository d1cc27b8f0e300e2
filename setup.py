"""Build of the one extension module: the kernels once per instruction set and storage of activations, with the flags of
the first; the files that have nothing to gain from either once.

Environment: RGZ_OPENMP=0 leaves OpenMP out, =1 demands it; RGZ_REQUIRE_ISA=1 makes an instruction set that the
compiler cannot take an error instead of a notice; RGZ_ISAS=generic,avx2 builds these only (generic always);
RGZ_EXTRA_CFLAGS, RGZ_EXTRA_LDFLAGS are appended (sanitizers).
"""

import os
import platform
import shlex
import sys
import sysconfig
import tempfile
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
KERNELS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc/kernels").glob("*.c"))
UNITS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc/units").glob("*.c"))  # each includes some of these
HEADERS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*.[hd]*"))
TEXT = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc/text").glob("*.c"))
SHARED = ["csrc/dispatch.c", "csrc/scratch.c", "csrc/sgemm.c", *TEXT]  # compiled once, with the baseline's flags
BINDING = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "rgz").glob("*.pxi"))  # parts of rgz/_kernels.pyx
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mf16c"]
STORAGES = ["f32", "bf16", "f16"]  # of activations; the numbers of rgz.h
ISAS = {  # name: (machines, flags of gcc and clang, flags of MSVC; None: not by it)
    "generic": (None, [], []),
    "avx2": (("x86_64", "amd64"), ["-mavx2", "-mfma", "-mf16c"], ["/arch:AVX2"]),
    "avx512": (("x86_64", "amd64"), AVX512, ["/arch:AVX512"]),
    "avx512bf16": (("x86_64", "amd64"), [*AVX512, "-mavx512bf16"], ["/arch:AVX512"]),
    "neon": (("aarch64", "arm64"), [], []),
    "neonbf16": (("aarch64", "arm64"), ["-march=armv8.2-a+bf16+fp16fml"], None),
}
# Sets that differ from another in some storages only: the rest is that set's.
EXTENDED = {"avx512bf16": ("avx512", ["bf16"]), "neonbf16": ("neon", ["bf16", "f16"])}

ANDROID = hasattr(sys, "getandroidapilevel")
# One wheel for all Pythons from 3.11 on; Android's must link its libpython, and free-threaded builds have no such ABI.
ABI3 = not ANDROID and not sysconfig.get_config_var("Py_GIL_DISABLED")


def one_architecture() -> None:
    """Make a universal2 Python of macOS build for the machine it runs on: one file cannot hold AVX2 and NEON."""
    if sys.platform == "darwin" and "ARCHFLAGS" not in os.environ:
        os.environ["ARCHFLAGS"] = f"-arch {platform.machine()}"
        host = sysconfig.get_platform().replace("universal2", platform.machine())
        os.environ.setdefault("_PYTHON_HOST_PLATFORM", host)  # the wheel's tag


def target_machine(plat_name: str) -> str:
    """The machine being built for: macOS's ARCHFLAGS or Windows' platform name before the running interpreter's."""
    architectures = os.environ.get("ARCHFLAGS", "").split("-arch")[1:]
    if sys.platform == "darwin" and architectures:
        if len(architectures) > 1:
            raise RuntimeError(f"rgz is built for one architecture at a time, got ARCHFLAGS={os.environ['ARCHFLAGS']}")
        return architectures[0].split()[0].lower()
    return (plat_name.rsplit("-", 1)[-1] if os.name == "nt" else platform.machine()).lower()


def openmp_flags() -> list[tuple[list[str], list[str]]]:
    """Candidates of (compile flags, link flags), to be tried in this order."""
    if os.name == "nt":
        return [(["/openmp"], [])]
    if ANDROID:  # libomp.so is not on the device
        return [(["-fopenmp"], ["-fopenmp", "-static-openmp"])]
    if sys.platform == "darwin":
        prefixes = [
            os.environ.get("LIBOMP_PREFIX"),
            "/opt/homebrew/opt/libomp",
            "/usr/local/opt/libomp",
            sys.prefix,
        ]
        return [
            (["-Xpreprocessor", "-fopenmp", f"-I{p}/include"], [f"-L{p}/lib", "-lomp", f"-Wl,-rpath,{p}/lib"])
            for p in prefixes
            if p and Path(p, "include/omp.h").exists()
        ]
    return [(["-fopenmp"], ["-fopenmp"])]


def unicode_classes() -> str:
    """C text of the character classes that regular expressions of tokenizers name, by this Python's unicodedata.

    Two bits a code point: 0 none, 1 letter (\\p{L}), 2 number (\\p{N}), 3 white space (\\s); equal pages of 256 once.
    """
    classes = bytearray(sys.maxunicode + 1)
    for code in range(len(classes)):
        category = unicodedata.category(chr(code))
        if category[0] in "LNZ":
            classes[code] = " LNZ".index(category[0])
    classes[0x09:0x0E] = b"\3" * 5  # controls, but white space: tab to carriage return, next line
    classes[0x85] = 3
    pages: dict[bytes, int] = {}
    numbers = []
    for start in range(0, len(classes), 256):
        page = classes[start : start + 256]
        packed = bytes(page[i] | page[i + 1] << 2 | page[i + 2] << 4 | page[i + 3] << 6 for i in range(0, 256, 4))
        numbers.append(pages.setdefault(packed, len(pages)))
    rows = ",\n".join("{" + ",".join(map(str, page)) + "}" for page in pages)
    return (
        f'#define RGZ_UNICODE_VERSION "{unicodedata.unidata_version}"\n'
        f"static const uint8_t class_page[{len(numbers)}] = {{{','.join(map(str, numbers))}}};\n"
        f"static const uint8_t class_bits[{len(pages)}][64] = {{\n{rows}}};\n"
    )


class BuildKernels(build_ext):
    def build_extension(self, ext: Extension) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        optimize = ["-O3", "-std=gnu11", "-ffp-contract=off", "-g0", "-Wall"]
        if msvc:
            optimize = ["/O2", "/std:c11", "/wd4068"]  # C4068: `#pragma GCC unroll` is unknown to it
        omp_compile, omp_link = self.probe_openmp()
        common = optimize + omp_compile + shlex.split(os.environ.get("RGZ_EXTRA_CFLAGS", ""))

        generated = Path(self.build_temp, "generated")
        generated.mkdir(parents=True, exist_ok=True)
        (generated / "unicode_classes.h").write_text(unicode_classes())

        machine, built = target_machine(self.plat_name), []
        wanted = {"generic", *os.environ.get("RGZ_ISAS", ",".join(ISAS)).split(",")}
        if unknown := wanted - set(ISAS):
            raise SystemExit(f"RGZ_ISAS may name {', '.join(ISAS)}, got {', '.join(sorted(unknown))}")
        wanted |= {EXTENDED[name][0] for name in wanted & set(EXTENDED)}
        jobs = [(source, None, None) for source in SHARED]
        for name, (machines, gcc, cl) in ISAS.items():
            flags = cl if msvc else gcc
            if name not in wanted or flags is None or (machines is not None and machine not in machines):
                continue
            base, storages = EXTENDED.get(name, (None, STORAGES))
            if base and base not in built:
                continue
            if self.compiles(name, common + flags):
                built.append(name)
                jobs += [(source, name, storage) for storage in storages for source in UNITS]

        def compile_one(job: tuple[str, str | None, str | None]) -> str:
            source, isa, storage = job
            out = Path(self.build_temp, isa or "shared", storage or "")
            out.mkdir(parents=True, exist_ok=True)
            macros = [(f"RGZ_HAVE_{name.upper()}", "1") for name in built]
            flags = list(common)
            if isa and storage:
                macros += self.macros(isa, storage)
                flags += ISAS[isa][2] if msvc else ISAS[isa][1]
            return self.compiler.compile(
                [source],
                output_dir=str(out),
                macros=macros,
                include_dirs=["csrc", str(generated)],
                extra_postargs=flags,
            )[0]

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(compile_one, jobs))
        # The binding only checks and calls: compiling it hard takes three times as long and gains nothing.
        ext.extra_compile_args = ["/O1"] if msvc else ["-O1", "-g0"]
        libm = [] if msvc else ["-lm"]
        ext.extra_link_args = omp_link + libm + shlex.split(os.environ.get("RGZ_EXTRA_LDFLAGS", ""))
        super().build_extension(ext)

    @staticmethod
    def macros(isa: str, storage: str) -> list[tuple[str, str]]:
        return [
            ("RGZ_ISA", isa),
            ("RGZ_VEC_HEADER", f'"simd/vec_{isa}.h"'),
            ("RGZ_STORAGE", str(STORAGES.index(storage))),
            ("RGZ_STORAGE_NAME", storage),
        ]

    def compiles(self, isa: str, flags: list[str]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text('#include "kernel.h"\nvf probe(const float *p) { return vf_exp(vf_load(p)); }\n')
            try:
                self.compiler.compile(
                    [str(source)],
                    output_dir=folder,
                    macros=self.macros(isa, "f32"),
                    include_dirs=["csrc"],
                    extra_postargs=flags,
                )
            except Exception as error:  # each compiler class raises its own CompileError
                if isa == "generic" or os.environ.get("RGZ_REQUIRE_ISA") == "1":
                    raise
                print(f"rgz: this compiler cannot build the {isa} kernels; they are left out ({error})")
                return False
        return True

    def probe_openmp(self) -> tuple[list[str], list[str]]:
        wish = os.environ.get("RGZ_OPENMP", "")
        if wish == "0":
            print("rgz: built without OpenMP as asked (RGZ_OPENMP=0): one thread")
            return [], []
        for compile_flags, link_flags in openmp_flags():
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "probe.c")
                source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
                try:
                    objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                    self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=link_flags)
                    return compile_flags, link_flags
                except Exception as error:  # each compiler class raises its own CompileError or LinkError
                    print(f"rgz: OpenMP probe failed with {compile_flags}: {error}")
        if wish == "1":
            raise RuntimeError("RGZ_OPENMP=1, but no OpenMP was found: install libgomp or libomp, or unset it")
        print("rgz: no OpenMP found: the kernels will run on one thread")
        return [], []


class WithTests(sdist):
    """An sdist that can be tested: with the tests, and all that they read."""

    def make_distribution(self) -> None:
        for folder in ("tests", "benches", ".github"):
            files = [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".pyc"]
            self.filelist.extend(sorted(map(str, files)))
        self.filelist.extend(sorted(map(str, Path().glob("*.md"))))
        super().make_distribution()


if __name__ == "__main__":
    one_architecture()
    setup(
        ext_modules=[
            Extension(
                "rgz._kernels",
                ["rgz/_kernels.pyx"],
                include_dirs=["csrc"],
                # setuptools relinks on a change of these only, and the sdist takes them from here
                depends=[*UNITS, *KERNELS, "csrc/table.c", *SHARED, *HEADERS, *BINDING],
                define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
                py_limited_api=ABI3,
            )
        ],
        cmdclass={"build_ext": BuildKernels, "sdist": WithTests},
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
    )
