# the sanitizers over the kernels of the strongest instruction set too, and over more sizes
SANITIZED_ISAS=generic,avx512bf16 SANITIZED_TESTS=""
. "$CI_FOLDER/tiers/sanitize.sh"
