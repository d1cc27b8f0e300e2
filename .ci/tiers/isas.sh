# models, generation and training once for each instruction set of this machine (the kernels' own tests try them all)
. "$CI_FOLDER/common.sh"
cd "$AWAY"
for isa in $(python -P -c "from rgz import _kernels; print(*[name for name, _, usable in _kernels.isas() if usable])"); do
    echo "RGZ_ISA=$isa"
    RGZ_ISA=$isa pytest -q tests/models tests/generate tests/train/test_trainer.py tests/train/test_resume.py
done
