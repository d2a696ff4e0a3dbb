#!/bin/sh
# Sets up .venv: `tools/setup.sh python` makes it, `tools/setup.sh install EXTRAS` installs into it,
# `tools/setup.sh debian` adds the Debian packages of the tests where it may. Called by the Makefile.
# What lacks is named together with the command that installs it; nothing here needs root.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

debian_like() { command -v apt-get >/dev/null 2>&1; }

# The first Python that runs and is new enough (a pyenv shim may exist and still not run).
find_python() {
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    say "Kerbline needs Python 3.11 or later, and none was found (PYTHON=/path/to/python3 names one)."
    if debian_like; then
        say "  install it:  sudo apt-get install python3 python3-venv"
        say "  (Debian 12, Pi OS bookworm and later have it; older releases do not.)"
    fi
    exit 1
}

python() {
    if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 &&
        .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    found=$(find_python)
    if ! "$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        say "$found cannot make a virtual environment: its venv module is not whole."
        say "  install it:  sudo apt-get install python3-venv"
        exit 1
    fi
    say "making .venv with $("$found" --version)"
    "$found" -m venv --clear .venv
    pip install "$(grep '^pip==' constraints.txt)"
}

pip() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip --quiet "$@" ||
        { say "pip failed (see above)"; exit 1; }
}

install() {
    say "installing kerbline[$1] into .venv"
    pip install --constraint constraints.txt --build-constraint constraints.txt \
        --editable ".[$1]"
}

# Debian packages for the tests: installed where we may, otherwise the tests that need them skip.
debian() {
    lacking=
    for program in mosquitto mbpoll; do # each in the package of its name
        # Debian keeps servers in /usr/sbin, which a user's PATH may lack.
        PATH=$PATH:${SBIN:-/usr/sbin} command -v "$program" >/dev/null 2>&1 ||
            lacking="${lacking:+$lacking }$program"
    done
    if [ -z "$lacking" ]; then return; fi
    skipped="tests that need it are skipped"
    if ! debian_like; then
        say "not installed, and this is no Debian: $lacking; $skipped"
        return
    fi
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true >/dev/null 2>&1; then
            say "not installed: $lacking; $skipped"
            say "  install it:  sudo apt-get install $lacking"
            return
        fi
        as_root="sudo -n"
    fi
    say "installing $lacking"
    # shellcheck disable=SC2086 # a list of packages
    if ! ($as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qq -y --no-install-recommends $lacking) >/dev/null 2>&1; then
        say "apt-get could not install $lacking: $skipped"
        return
    fi
    # The tests start brokers of their own: the machine gets no service by us.
    case $lacking in *mosquitto*)
        if command -v systemctl >/dev/null 2>&1; then
            $as_root systemctl disable --now --quiet mosquitto >/dev/null 2>&1 || true
        fi
        ;;
    esac
}

case "${1:-}" in
python | debian) "$1" ;;
install) install "$2" ;;
*) say "usage: tools/setup.sh python | install EXTRAS | debian"; exit 2 ;;
esac
