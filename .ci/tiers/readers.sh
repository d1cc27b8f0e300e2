# llama.cpp and transformers themselves read what rgz export writes: the same logits, the same ids
. "$CI_FOLDER/common.sh"
wheel=$(echo "$SCRATCH"/dist/repaired/*.whl)
folder="$SCRATCH/readers" # for itself: PyTorch brings another OpenMP runtime

need_debian g++ cmake
python3 -m venv "$folder"
retry "$folder/bin/pip" install -q "$wheel[test]" 'torch==2.13.0' transformers llama-cpp-python # compiles for 5 minutes
(cd "$AWAY" && "$folder/bin/python" -P -m pytest -q tests/export/test_real_readers.py | tee "$SCRATCH/readers.log")
if grep -q skipped "$SCRATCH/readers.log"; then
    echo "one of the readers is missing" >&2
    exit 1
fi
