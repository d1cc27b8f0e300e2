# ruff, mypy, clang-format, the workflow against its schema, sums of products in registers
. "$CI_FOLDER/common.sh"
retry pip install -q check-jsonschema
cd "$SOURCE"
ruff check .
mypy
clang-format --dry-run -Werror csrc/*.[ch] csrc/*/*.[ch]
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
python .ci/spills.py "$(uname -m)" gcc
