# emulated x86: Nehalem (SSE only) and Haswell (AVX2)
. "$CI_FOLDER/common.sh"
need_debian qemu-user-static
cd "$AWAY"
# An emulated product takes hundreds of times as long: each processor tries what the weaker one does not have.
emulated() { # OpenBLAS 0.3.31, in NumPy's wheel, takes an emulated Nehalem for a Haswell unless it is told
    OPENBLAS_CORETYPE="$1" qemu-x86_64-static -cpu "$1" "$VENV/bin/python" -P -m pytest -q -p no:cacheprovider -k "$2" \
        tests/kernels/test_binding.py tests/kernels/test_formulas.py >"$SCRATCH/$1" 2>&1
}
emulated Nehalem generic &
emulated Haswell avx2 &
at_once || { cat "$SCRATCH"/{Nehalem,Haswell}; exit 1; }
tail -n 1 "$SCRATCH"/{Nehalem,Haswell}
