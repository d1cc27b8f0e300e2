# the whole test suite once for each instruction set, and with SciPy's product instead of rgz's own
. "$CI_FOLDER/common.sh"
cd "$AWAY"
for isa in $(python -P -c "from rgz import _kernels; print(*[name for name, _, usable in _kernels.isas() if usable])"); do
    echo "RGZ_ISA=$isa"
    RGZ_ISA=$isa run_tests
done
echo "RGZ_BLAS=scipy"
RGZ_BLAS=scipy run_tests
