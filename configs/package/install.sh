#!/bin/sh
# Installs the Pantau agent from the wheels beside this script, without the network.
#   sh install.sh            install or upgrade
#   sh install.sh --remove   take it away; settings and spool stay
#   sh install.sh --purge    take it away with settings, token and spool
#   sh install.sh --files ROOT   only lay the files of a package under ROOT (used to build the .deb)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=opt/pantau-agent

say() { echo "pantau-agent: $*"; }

# Prints the first Python that is new enough and that the wheels are made for.
python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        for place in /usr/bin /usr/local/bin; do
            if [ -x "$place/$name" ] && "$place/$name" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; then
                echo "$place/$name"
                return
            fi
        done
    done
    say "needs Python 3.11 to 3.14 as /usr/bin/python3 or under /usr/local/bin" >&2
    return 1
}

# lay ROOT UNITS COMMANDS: unpack the wheels; every Python finds its own compiled part among them.
lay() {
    rm -rf "$1/$home/lib"
    install -d -m 755 "$1/$home/lib" "$1/$home/bin" "$1/$2" "$1/$3"
    "$interpreter" -I - "$here/wheels" "$1/$home/lib" <<'PY'
import pathlib, sys, zipfile

wheels, lib = map(pathlib.Path, sys.argv[1:])
centre = ("server/", "alerts/", "collectors/checks/", "collectors/snmp/", "configs/package/")
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(lib, [name for name in archive.namelist() if not name.startswith(centre)])
PY
    find "$1/$home/lib" -type d -exec chmod 755 {} +
    find "$1/$home/lib" -type f -exec chmod 644 {} +
    sed "1s|^#!/usr/bin/python3|#!$interpreter|" "$here/pantau-agent" > "$1/$home/bin/pantau-agent"
    chmod 755 "$1/$home/bin/pantau-agent"
    install -m 755 "$here/rollback" "$1/$home/bin/"
    install -m 644 "$1/$home/lib/configs/systemd/pantau-agent.service" "$1/$2/"
    ln -sfn "/$home/bin/pantau-agent" "$1/$3/pantau-agent"
}

case "${1:-}" in
--files)
    interpreter=$(python)
    lay "$2" usr/lib/systemd/system usr/bin
    # which Python there is on the other machine is the package's to say
    sed -i "1s|^#!.*|#!/usr/bin/python3 -I|" "$2/$home/bin/pantau-agent"
    ;;
--remove | --purge)
    sh "$here/prerm" remove
    rm -rf "/$home" /etc/systemd/system/pantau-agent.service /usr/local/bin/pantau-agent
    sh "$here/postrm" "${1#--}"
    ;;
"")
    interpreter=$(python)
    former=""
    [ ! -e "/$home/bin/pantau-agent" ] || former=installed
    [ -z "$former" ] || sh "$here/preinst" upgrade
    lay "" etc/systemd/system usr/local/bin
    sh "$here/postinst" configure "$former"
    ;;
*)
    sed -n '2,6s/^# *//p' "$0"
    exit 2
    ;;
esac
