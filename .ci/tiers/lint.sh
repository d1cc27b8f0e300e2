# ruff, mypy, clang-format, and the workflow against its schema
. "$CI_FOLDER/common.sh"
retry pip install -q check-jsonschema
cd "$SOURCE"
ruff check .
mypy
clang-format --dry-run -Werror csrc/*.[ch] csrc/*/*.[ch]
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
