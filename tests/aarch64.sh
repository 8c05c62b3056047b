#!/usr/bin/env bash
# A proof from fixed randomness on aarch64 under qemu-user, and whether it is the one that this machine makes: the
# compiled kernels on NEON, byte for byte. Needs Debian (apt, dpkg), its qemu and arm64 packages, and wheels of PyPI;
# installs nothing outside a folder of its own. Compiling takes minutes of emulated time.
#   tests/aarch64.sh PYTHON [FOLDER]     PYTHON has zkmargin and pip; FOLDER is kept (default: a new one, removed)
set -euo pipefail
python=$(realpath -s "$1") root=$(dirname "$(dirname "$(realpath "$0")")")
if [ $# -gt 1 ]; then mkdir -p "$2" && work=$(realpath "$2"); else work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT; fi
cd "$work"
mkdir -p state/lists/partial cache/archives/partial none debs system kernels
touch state/status
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main" > sources.list
arm=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$work/state" -o "Dir::Cache=$work/cache"
  -o "Dir::State::status=$work/state/status" -o "Dir::Etc::sourceparts=$work/none" -o "Dir::Etc::sourcelist=$work/sources.list"
  -o APT::Sandbox::User=root)
if [ ! -x system/usr/bin/python3.11 ]; then
  (cd debs && apt-get -qq download qemu-user-static 2>/dev/null && dpkg -x qemu-user-static*.deb ../qemu)
  apt-get "${arm[@]}" -qq update
  (cd debs && apt-get "${arm[@]}" -qq download libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 python3.11-minimal \
    libpython3.11-minimal libpython3.11-stdlib python3.11 libssl3 libffi8 liblzma5 libbz2-1.0 libsqlite3-0 libuuid1 \
    libcrypt1 libtinfo6 libncursesw6 libgomp1 && for deb in *_arm64.deb; do dpkg -x "$deb" ../system; done)
fi
[ -d wheels ] || "$python" -m pip install -qq --disable-pip-version-check --target wheels --only-binary :all: \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 \
  --platform manylinux2014_aarch64 --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
  -c "$root/constraints.txt" numba numpy py-arkworks-bls12381 pydantic pycryptodome threadpoolctl click
here=$(PYTHONPATH=$root "$python" "$root/tests/one_proof.py")
there=$(PYTHONPATH=$root:$work/wheels ZKMARGIN_CACHE_DIR=$work/kernels OPENBLAS_NUM_THREADS=1 \
  qemu/usr/bin/qemu-aarch64-static -L "$work/system" system/usr/bin/python3.11 "$root/tests/one_proof.py")
printf '%s\n%s\n' "$here" "$there"
[ "${here#* }" = "${there#* }" ] || { echo "error: another proof on aarch64" >&2; exit 1; }
