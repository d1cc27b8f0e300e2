# all tests with a build without OpenMP; in an environment without SciPy
. "$CI_FOLDER/common.sh"

RGZ_OPENMP=0 build_variant serial
with_variant serial python -c "import rgz; assert rgz.info()['openmp'] == 0 and rgz.info()['n_threads'] == 1"
with_variant serial run_tests

python3 -m venv "$SCRATCH/no-scipy"
retry "$SCRATCH/no-scipy/bin/pip" install -q "$(echo "$SCRATCH"/dist/repaired/*.whl)[test]"
"$SCRATCH/no-scipy/bin/pip" uninstall -q -y scipy
cd "$AWAY"
"$SCRATCH/no-scipy/bin/python" -P -m pytest -q
