# a build without OpenMP; an environment without SciPy
. "$CI_FOLDER/common.sh"

RGZ_OPENMP=0 build_variant serial
with_variant serial python -c "import rgz; assert rgz.info()['openmp'] == 0 and rgz.info()['n_threads'] == 1"
with_variant serial pytest -q tests/kernels/test_formulas.py tests/models tests/generate tests/train/test_trainer.py

python3 -m venv "$SCRATCH/no-scipy"
retry "$SCRATCH/no-scipy/bin/pip" install -q pytest ml_dtypes $(dependencies | grep -v '^scipy')
"$SCRATCH/no-scipy/bin/pip" install -q --no-deps "$SCRATCH"/dist/repaired/*.whl
cd "$AWAY"
"$SCRATCH/no-scipy/bin/python" -m pytest -q tests/kernels tests/models/test_step.py tests/generate tests/test_start.py
