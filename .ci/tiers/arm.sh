# emulated aarch64 (SVE and bf16; Cortex-A76; Cortex-A72) with NumPy's and SciPy's own wheels
. "$CI_FOLDER/common.sh"
need_debian qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
root="$SCRATCH/arm/root" site="$SCRATCH/arm/site"
mkdir -p "$SCRATCH/arm"
debian_root "$root" bookworm arm64 python3.11-minimal libpython3.11-stdlib libpython3.11-dev libc6 libgcc-s1 \
    libstdc++6 libgomp1
wheels_for "$site" 3.11 aarch64 pytest ml_dtypes setuptools cython $(dependencies)

arm() {
    PYTHONPATH="$site:$PWD" PYTHONDONTWRITEBYTECODE=1 \
        qemu-aarch64-static -cpu "$1" -L "$root" "$root/usr/bin/python3.11" "${@:2}"
}
cp -r "$SOURCE" "$SCRATCH/arm/source"
cd "$SCRATCH/arm/source"
python .ci/spills.py aarch64 aarch64-linux-gnu-gcc
cython -3 rgz/_kernels.pyx # emulated it would take half a minute
# The emulated Python runs setup.py; the compiler that it starts is the native one for aarch64.
CC="aarch64-linux-gnu-gcc -I$root/usr/include/python3.11 -idirafter $root/usr/include" \
    LDSHARED="aarch64-linux-gnu-gcc -shared" arm max,sme=off setup.py -q build_ext --inplace
# Emulated tests take seconds each: every formula, but neither on every processor nor in every type; large sizes for
# two products that run through several blocks, and for attention.
large="matmul or linear_backward or attention"
emulated() {
    arm "$2" -m pytest -q -p no:cacheprovider -k "$3 and (not large or $large)" tests/kernels/test_formulas.py >"$SCRATCH/arm/$1" 2>&1
}
emulated max-half max,sme=off "neonbf16 and match and half and (bfloat16 or matmul or plain or linear_backward)" &
emulated max max,sme=off "neon and not neonbf16 and match and not half and (not products or scipy_sgemm and matmul)" &
emulated a76 cortex-a76 "neon and match and products and not half" &
emulated a72 cortex-a72 "neon and match and half and (-float16] or cast or attention or matmul or linear_backward)" &
at_once || { cat "$SCRATCH"/arm/{max-half,max,a76,a72}; exit 1; }
tail -qn 1 "$SCRATCH"/arm/{max-half,max,a76,a72}
