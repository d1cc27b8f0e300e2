# clang 19, lld and libomp instead of gcc, ld and libgomp: all tests
. "$CI_FOLDER/common.sh"
need_debian clang-19 lld-19 libomp-19-dev libomp5-19

export CC="clang-19 -I/usr/lib/llvm-19/lib/clang/19/include" LDSHARED="clang-19 -shared -fuse-ld=lld"
RGZ_EXTRA_CFLAGS="-Werror" RGZ_EXTRA_LDFLAGS="-fuse-ld=lld" build_variant clang
ldd "$SCRATCH"/clang/rgz/_kernels.abi3.so | grep libomp
with_variant clang run_tests
