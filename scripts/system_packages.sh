#!/usr/bin/env bash
# Software OpenGL, a virtual display and venv: installs what a bare Debian machine lacks, or
# says in one line what to run. Called by the Makefile; does nothing where all is present.
set -u

missing=()
have_library() { ldconfig -p 2>/dev/null | grep -q "$1" || compgen -G "/usr/lib*/$1*" >/dev/null || compgen -G "/usr/lib/*/$1*" >/dev/null; }

if [ "$(uname -s)" = Linux ]; then
    have_library libGL.so.1 || missing+=(libgl1)
    have_library libEGL.so.1 || missing+=(libegl1)
    # Mesa's drivers moved into libgallium with release 24.
    compgen -G '/usr/lib*/dri/*_dri.so' >/dev/null || compgen -G '/usr/lib/*/dri/*_dri.so' >/dev/null \
        || have_library libgallium || missing+=(libgl1-mesa-dri)
    have_library libEGL_mesa.so.0 || have_library libEGL_nvidia.so.0 || missing+=(libegl-mesa0)
    have_library libGLX_mesa.so.0 || have_library libGLX_nvidia.so.0 || missing+=(libglx-mesa0)
    have_library libX11.so.6 || missing+=(libx11-6)
    have_library libXcursor.so.1 || missing+=(libxcursor1)
    have_library libXrandr.so.2 || missing+=(libxrandr2)
    have_library libXinerama.so.1 || missing+=(libxinerama1)
    have_library libXi.so.6 || missing+=(libxi6)
    # Only the tests and a machine without a screen need the virtual display.
    [ "${1:-}" = test ] && ! command -v Xvfb >/dev/null && missing+=(xvfb)
    python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || missing+=(python3-venv)
fi

[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    echo "installing ${missing[*]}"
    log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        >"$log" 2>&1 </dev/null; then
        rm -f "$log"
        exit 0
    fi
    tail -n 3 "$log"
    rm -f "$log"
fi
echo "missing system packages; run: sudo apt-get install ${missing[*]}" >&2
# Without them the headless part still works, so this is a note and not a failure.
exit 0
