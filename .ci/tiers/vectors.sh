# the sanitizers over the kernels of the strongest instruction set too, which take minutes to compile
SANITIZED_ISAS=generic,avx512bf16
. "$CI_FOLDER/tiers/sanitize.sh"
