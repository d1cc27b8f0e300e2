# emulated x86: Nehalem (SSE only) and Haswell (AVX2)
. "$CI_FOLDER/common.sh"
need_debian qemu-user-static
cd "$AWAY"
for cpu in Nehalem Haswell; do
    qemu-x86_64-static -cpu $cpu "$VENV/bin/python" -P -m pytest -q -p no:cacheprovider tests/kernels >"$SCRATCH/$cpu" 2>&1 &
done
at_once || { cat "$SCRATCH"/{Nehalem,Haswell}; exit 1; }
tail -n 1 "$SCRATCH"/{Nehalem,Haswell}
