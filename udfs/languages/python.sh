#!/usr/bin/env bash
# The samples in Python, and the tests of guest-sdk/python. Needs Python 3.10 or newer with venv and pip (Debian: python3,
# python3-venv); componentize-py, which holds the interpreter, comes from PyPI as python-requirements.txt names it.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs python3 python3 "it runs what makes components of Python programs, and their tests"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=("python3-venv"$'\t'"the tool for Python functions is installed into a folder of its own")
pip_packages python-pack "$languages/python/pack-requirements.txt"
packing="$venv"
pip_packages componentize-py "$languages/python-requirements.txt"

# Nothing is left in the checkout.
export PYTHONPATH="$sdk/src" PYTHONDONTWRITEBYTECODE=1
unset VIRTUAL_ENV

build() {
  local sample name out=$1
  for sample in $(samples); do
    name="${sample%-python}"
    "$venv/bin/python" -m millstream.build "$udfs/$sample/${name//-/_}.py" -o "$out/$sample.wasm"
  done
}

tests() {
  local sample
  run_test guest-sdk/python "$venv/bin/python" -m unittest discover -s "$sdk/tests"
  for sample in $(samples); do
    run_test "udfs/$sample" bash -c 'cd "$1" && "$2" -m unittest' - "$udfs/$sample" "$venv/bin/python"
  done
}

pack() {
  local file info="millstream_sdk-$version.dist-info" held
  held="$(SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-315532800}" "$packing/bin/python" "$languages/python/pack.py" "$sdk" "$1" "$languages/python-requirements.txt")"
  file="millstream_sdk-$version-py3-none-any.whl"
  holds "$file" "$(sed -n 's/^wheel //p' <<<"$held")" millstream/__init__.py millstream/build.py millstream/py.typed \
    millstream/testing.py millstream/wit/udf.wit "$info/METADATA" "$info/entry_points.txt" "$info/licenses/LICENSE" -- 'millstream/*.py' \
    "$info/WHEEL" "$info/RECORD" "$info/top_level.txt"
  holds "millstream_sdk-$version.tar.gz" "$(sed -n 's/^sdist //p' <<<"$held")" pyproject.toml LICENSE README.md PKG-INFO \
    src/millstream/py.typed src/millstream/testing.py src/millstream/wit/udf.wit tests/test_processors.py tests/test_sdk.py \
    -- 'src/millstream/*.py' setup.cfg 'src/millstream_sdk.egg-info/*'
  # Installed where nothing else is, it has its command and its data.
  "$packing/bin/python" -m venv "$scratch/user"
  "$scratch/user/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps "$1/$file"
  (cd "$scratch" && unset PYTHONPATH && "$scratch/user/bin/millstream-build" --help >/dev/null &&
    "$scratch/user/bin/python" -c 'import millstream.build as it; assert (it.HERE / "wit/udf.wit").exists() and (it.HERE / "py.typed").exists()') ||
    die "$file lacks its command or its data once it is installed"
}

trial() {
  template trial
  unpublished millstream-sdk
  unset PYTHONPATH
  make -s -C "$project" MILLSTREAM="$project.millstream" SDK="$1/millstream_sdk-$version-py3-none-any.whl" test
}

main "$@"
