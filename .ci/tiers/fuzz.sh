# 10,000 damaged files of every format that is read: each refused or read rightly, no crash, no hang, no large allocation
. "$CI_FOLDER/common.sh"
cd "$AWAY"
python -m tests.fuzz --count 10000
