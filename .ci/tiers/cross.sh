# what cannot run here is at least understood: the C sources in clang's MSVC mode (x86-64, ARM64) and for Android
#
# Headers are stand-ins, MinGW's for Microsoft's and musl's for bionic: this finds what those compilers would not take
# in our sources, not what their headers lack. Which functions of the C library are called is compared with a list.
. "$CI_FOLDER/common.sh"
need_debian clang-19 libomp-19-dev mingw-w64-common musl-dev binutils
cd "$SOURCE"
folder="$SCRATCH/cross"
mkdir -p "$folder"
python -c "import setup; open('$folder/unicode_classes.h', 'w').write(setup.unicode_classes())"
cat >"$folder/msvc.h" <<'H'
#include <_mingw.h>
#undef __forceinline /* MinGW's says extern too, which ours, static, excludes */
#define __forceinline inline
H
cat >"$folder/android.h" <<'H'
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#pragma GCC poison aligned_alloc pthread_setaffinity_np timespec_get getrandom getentropy
H

# understood ISA:FLAGS... -- COMPILER...: every source, once for each instruction set and storage.
understood() {
    local set storage isas=()
    while [ "$1" != -- ]; do isas+=("$1") && shift; done
    shift
    local compiler=("$@" -fsyntax-only -Wall -Werror -Wno-unknown-pragmas '-Wno-#warnings' -Icsrc "-I$folder")
    for set in "${isas[@]}"; do
        for storage in 0:f32 1:bf16 2:f16; do
            # shellcheck disable=SC2086 # flags are words
            "${compiler[@]}" ${set#*:} -DRGZ_ISA="${set%%:*}" -DRGZ_VEC_HEADER="\"simd/vec_${set%%:*}.h\"" \
                -DRGZ_STORAGE="${storage%:*}" -DRGZ_STORAGE_NAME="${storage#*:}" csrc/units/*.c
        done
    done
    "${compiler[@]}" csrc/{dispatch,scratch,sgemm}.c csrc/text/*.c
}
avx2="avx2:-mavx2 -mfma -mf16c"
avx512="avx512:-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mf16c"
bf16="${avx512/avx512:/avx512bf16:-mavx512bf16 }"

omp=(-fopenmp -I/usr/lib/llvm-19/lib/clang/19/include)
msvc=(-std=c11 -fms-compatibility -fms-extensions -fms-compatibility-version=19.40 -fgnuc-version=4.2.1
    -isystem /usr/share/mingw-w64/include -include "$folder/msvc.h" "${omp[@]}")
understood generic: "$avx2" "$avx512" "$bf16" -- clang-19 --target=x86_64-pc-windows-msvc "${msvc[@]}"
understood generic: neon: -- clang-19 --target=aarch64-pc-windows-msvc "${msvc[@]}"
android=(-std=gnu11 -nostdlibinc -isystem /usr/include/x86_64-linux-musl -include "$folder/android.h" "${omp[@]}")
understood generic: neon: neonbf16:-march=armv8.2-a+bf16 -- clang-19 --target=aarch64-linux-android24 "${android[@]}"
understood generic: "$avx2" "$avx512" "$bf16" -- clang-19 --target=x86_64-linux-android24 "${android[@]}"

# All of these are in bionic at API 24; a new one must be looked up before it joins them.
known="calloc free logf malloc memcmp memcpy memmove memset qsort realloc sqrtf strchr strlen vsnprintf"
called=$(nm -D --undefined-only "$VENV"/lib/python3*/site-packages/rgz/_kernels*.so |
    awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | grep -vE '^(_?Py|GOMP_|omp_|__tls_get_addr$)' | sort -u)
unknown=$(comm -13 <(tr ' ' '\n' <<<"$known" | sort) <(echo "$called"))
[ -z "$unknown" ] || { echo "does bionic (API 24) have $unknown? Then name it in $0" >&2; exit 1; }
