# a free-threaded Python, built from Debian's source: the GIL stays off, and threads may share the kernels
. "$CI_FOLDER/common.sh"
need_debian gcc make xz-utils zlib1g-dev libffi-dev libssl-dev libsqlite3-dev pkg-config
folder="$SCRATCH/freethreaded"
mkdir -p "$folder"/{lists/partial,source}
cd "$folder/source"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$')
echo "deb-src $mirror trixie main" >"$folder/sources.list"
sources=(-o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$folder/lists")
retry apt-get "${sources[@]}" -qq update
retry apt-get "${sources[@]}" -qq source --download-only python3.13
tar -x --strip-components 1 -f python3.13_*.orig.tar.xz
./configure -q --disable-gil --prefix="$folder/python" >"$folder/log" 2>&1 &&
    make -s -j"$(nproc)" >>"$folder/log" 2>&1 && make -s install >>"$folder/log" 2>&1 || { tail -50 "$folder/log"; exit 1; }

"$folder/python/bin/python3.13t" -m venv "$folder/venv"
# the newest versions that have wheels for this Python: NumPy and SciPy have gone on to 3.14, hypothesis has a part in Rust
retry "$folder/venv/bin/pip" install -q --only-binary numpy,scipy,hypothesis,ml_dtypes \
    pytest hypothesis ml_dtypes "$SCRATCH"/dist/rgz-*.tar.gz
cd "$AWAY"
"$folder/venv/bin/python" -P -c "import sys, rgz.text, rgz.train; assert not sys._is_gil_enabled()"
"$folder/venv/bin/python" -P -m pytest -q tests/kernels tests/models tests/generate tests/text/test_text_segment.py tests/text/test_text_stream.py
