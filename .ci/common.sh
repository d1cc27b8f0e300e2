# What the tiers share. Each starts with `. "$CI_FOLDER/common.sh"`.

SOURCE="$SCRATCH/source" # the project
AWAY="$SCRATCH/away"     # the tests and what they read, but neither rgz/ nor C sources
VENV="$SCRATCH/venv"     # what the tests need, and the wheel (tier "wheel")
export PATH="$VENV/bin:$PATH"

# retry COMMAND...: downloads fail now and then.
retry() {
    local attempt
    for attempt in 1 2 3; do
        "$@" && return
        echo "attempt $attempt of 3 failed: $*" >&2
        sleep $((attempt * 10))
    done
    return 1
}

# need_debian PACKAGE...: install those that are missing.
need_debian() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    retry apt-get update -qq
    DEBIAN_FRONTEND=noninteractive retry apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# debian_root FOLDER SUITE ARCHITECTURE PACKAGE...: unpack packages and what they need, without running any of it.
debian_root() {
    local root=$1 suite=$2 architecture=$3
    shift 3
    need_debian mmdebstrap
    unpack() {
        rm -rf "$root"
        mmdebstrap --quiet --variant=extract --architectures="$architecture" \
            --aptopt='Acquire::Check-Valid-Until "false"' --include="$(IFS=, && echo "$*")" "$suite" "$root"
    }
    retry unpack "$@"
}

# wheels_for FOLDER VERSION ARCHITECTURE PACKAGE...: unpack wheels for another Python (3.15) or machine (aarch64).
wheels_for() {
    local folder=$1 version=$2 platforms=()
    for glibc in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${glibc}_$3"); done
    platforms+=(--platform "manylinux2014_$3" --platform any)
    shift 3
    # pip 23 holds what a package needs against the Python that runs it, not against --python-version
    local newer=()
    python3 -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" || newer=(--ignore-requires-python)
    [ -d "$SCRATCH/jieba" ] || retry pip wheel -q --no-deps -w "$SCRATCH/jieba" jieba # its registry has no wheel
    retry pip install -q --only-binary=:all: --implementation cp --python-version "$version" \
        --abi "cp${version//./}" --abi abi3 --abi none "${platforms[@]}" "${newer[@]}" \
        --find-links "$SCRATCH/jieba" --upgrade --target "$folder" "$@"
}

# dependencies: what rgz needs at run time, one requirement a line.
dependencies() {
    python -c "import tomllib; print(*tomllib.load(open('$SOURCE/pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')"
}

# run_tests ARGUMENT...: pytest in two processes, each of which takes tests from the other when it has none left.
run_tests() {
    pytest -q -n 2 --dist worksteal "$@"
}

# build_variant NAME: build the source anew into $SCRATCH/NAME, with the compiler and flags of the environment.
build_variant() {
    rm -rf "$SOURCE/build"
    pip install -q --no-deps --no-build-isolation --no-index --target "$SCRATCH/$1" "$SOURCE"
    rm -rf "$SOURCE/build"
}

# with_variant NAME COMMAND...: run with that build instead of the wheel; from $AWAY.
with_variant() {
    local site="$SCRATCH/$1"
    shift
    (
        cd "$AWAY"
        export PYTHONPATH="$site" PYTHONSAFEPATH=1
        python -c "import rgz, sys; sys.exit(not rgz.__file__.startswith('$site/') and f'{rgz.__file__} is another rgz')"
        "$@"
    )
}

# at_once: wait for all commands that were started in the background; fail if one of them failed.
at_once() {
    local job failed=0
    for job in $(jobs -p); do wait "$job" || failed=1; done
    return $failed
}
