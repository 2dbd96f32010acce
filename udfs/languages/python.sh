#!/usr/bin/env bash
# The samples in Python, and the tests of guest-sdk/python. Needs Python 3.10 or newer with venv and pip (Debian: python3,
# python3-venv); componentize-py, which holds the interpreter, comes from PyPI as python-requirements.txt names it.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

needs python3 python3 "it runs what makes components of Python programs, and their tests"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=("python3-venv"$'\t'"the tool for Python functions is installed into a folder of its own")
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

main "$@"
