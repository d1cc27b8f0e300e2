# all tests of the same wheel with the oldest NumPy, SciPy and gguf, under Python 3.12 and 3.13; some under the newest Python
. "$CI_FOLDER/common.sh"
wheel=$(echo "$SCRATCH"/dist/repaired/*.whl)

# under NAME PYTHON REQUIREMENT...: a fresh environment.
under() {
    local folder="$SCRATCH/python-$1"
    echo "$1"
    "$2" -m venv "$folder"
    retry "$folder/bin/pip" install -q "$wheel[test]" "${@:3}"
    (cd "$AWAY" && "$folder/bin/python" -P -m pytest -q)
}

under oldest python3 'numpy==1.26.*' 'scipy==1.11.*' 'gguf==0.16.*'
for version in 3.12 3.13; do
    interpreter=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python 2>/dev/null | tail -n 1)
    interpreter=${interpreter:-$(command -v "python$version" || true)}
    if [ "$interpreter" ]; then
        under "$version" "$interpreter"
    else
        echo "NOT RUN: there is no Python $version on this machine"
    fi
done

# Debian 14 has the newest that NumPy has wheels for: its packages are unpacked beside ours and entered.
tests="tests/kernels/test_binding.py tests/kernels/test_gradients.py tests/models/test_step.py tests/generate tests/test_start.py"
newest=3.15 root="$SCRATCH/newest"
debian_root "$root" forky amd64 base-files "python$newest" libstdc++6 libgomp1
wheels_for "$root/site" "$newest" x86_64 pytest $(dependencies)
python -m zipfile -e "$wheel" "$root/site"
mkdir -p "$root"/{proc,sys,dev,tests}
cp -r "$AWAY/." "$root/tests"
inside='mount --rbind /proc "$0/proc" && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
# There may be no more programs in it than Python, which therefore goes to its folder itself.
enter="import os; os.chdir('/tests'); os.execvp('python$newest', 'python$newest -P -m pytest -q -p no:cacheprovider $tests'.split())"
PYTHONPATH=/site PYTHONDONTWRITEBYTECODE=1 unshare --mount bash -c "$inside" "$root" "python$newest" -c "$enter"
