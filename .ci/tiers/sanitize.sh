# address and undefined-behaviour sanitizers over the plain C kernels, the text kernels and a step of training
. "$CI_FOLDER/common.sh"
need_debian gcc libasan8 libubsan1

RGZ_ISAS="${SANITIZED_ISAS:-generic}" \
    RGZ_EXTRA_CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
    RGZ_EXTRA_LDFLAGS="-fsanitize=address,undefined" build_variant sanitized
export LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 # Python itself leaks at its end
with_variant sanitized run_tests -p no:cacheprovider tests/kernels/test_formulas.py tests/kernels/test_cast.py \
    tests/kernels/test_half_products.py tests/models/test_step.py tests/text/test_text_segment.py
with_variant sanitized run_tests -p no:cacheprovider -m hard tests/text
