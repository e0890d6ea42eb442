#!/bin/bash
# What pip cannot bring. Usage: system_packages.sh venv|checks
#   venv    Python's venv module, the OpenMP library that boosted trees load
#   checks  a browser for the checks of the built book, a font with Chinese characters
# Installed with apt where that is possible without a question; otherwise a sentence says what to install.
set -euo pipefail

missing=()
case $1 in
venv)
    [ -n "${CONDA_DEFAULT_ENV:-}" ] || "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ "$(uname)" != Linux ] || PATH=$PATH:/sbin ldconfig -p | grep 'libgomp\.so\.1' >/dev/null || missing+=(libgomp1)
    ;;
checks)
    for browser in chromium chromium-browser google-chrome none; do command -v "$browser" >/dev/null && break; done
    [ "$browser" != none ] || missing+=(chromium)
    [ "$(uname)" != Linux ] || fc-list :lang=zh 2>/dev/null | grep -q . || missing+=(fontconfig fonts-noto-cjk)
    ;;
esac
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
echo "Please install: ${missing[*]} (names of the Debian packages)" >&2
[ "$1" != venv ]  # without a browser the checks that need it are skipped, and say so
