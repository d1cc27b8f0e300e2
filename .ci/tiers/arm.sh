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
# The emulated Python runs setup.py; the compiler that it starts is the native one for aarch64.
CC="aarch64-linux-gnu-gcc -I$root/usr/include/python3.11 -idirafter $root/usr/include" \
    LDSHARED="aarch64-linux-gnu-gcc -shared" arm max,sme=off setup.py -q build_ext --inplace
# All of it where most instructions are, the formulas alone on the others: emulated tests take a second each.
emulated() {
    arm "$1" -m pytest -q -p no:cacheprovider -k "$2" tests/kernels/test_binding.py tests/kernels/test_formulas.py \
        >"$SCRATCH/arm/$1" 2>&1
}
emulated max,sme=off neon &
emulated cortex-a76 "neon and match" &
emulated cortex-a72 "neon and match" &
at_once || { cat "$SCRATCH"/arm/{max,sme=off,cortex-a76,cortex-a72}; exit 1; }
tail -n 1 "$SCRATCH"/arm/{max,sme=off,cortex-a76,cortex-a72}
