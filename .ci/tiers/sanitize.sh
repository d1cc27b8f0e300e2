# address and undefined-behaviour sanitizers over the plain C kernels, the text kernels and a step of training
#
# Code with sanitizers is slow: products and types of 16 bits on one thread, blocks that follow one another in one of
# these types, and no products beside others, are enough here. The tier "vectors" tries them all.
. "$CI_FOLDER/common.sh"
need_debian gcc libasan8 libubsan1

RGZ_ISAS="${SANITIZED_ISAS:-generic}" \
    RGZ_EXTRA_CFLAGS="-O1 -g1 -DRGZ_INLINE='static inline' -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
    RGZ_EXTRA_LDFLAGS="-fsanitize=address,undefined" build_variant sanitized
export LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)"
# Python itself leaks at its end; what a sanitizer writes before it ends the process would go down with pytest's capture.
export ASAN_OPTIONS="detect_leaks=0:log_path=$SCRATCH/sanitizer"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$SCRATCH/sanitizer"
trap 'find "$SCRATCH" -maxdepth 1 -name "sanitizer.*" -exec cat {} +' EXIT
few="not (thread_count and (half or products)) and not (blocks and (bfloat16 or float32)) and not else_is_multiplied"
with_variant sanitized run_tests -p no:cacheprovider -k "${SANITIZED_TESTS-$few}" \
    tests/kernels/test_formulas.py tests/kernels/test_cast.py tests/kernels/test_half_products.py \
    tests/models/test_step.py tests/text/test_text_segment.py
with_variant sanitized run_tests -p no:cacheprovider -m hard tests/text
# A process that ended with a report after its last test: pytest-xdist does not ask how it ended.
if grep -qsE "ERROR: AddressSanitizer|runtime error" "$SCRATCH"/sanitizer.*; then exit 1; fi
