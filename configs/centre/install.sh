#!/bin/sh
# Installs the Pantau centre from the wheels beside this script, without the network.
#   sh install.sh            install, upgrade or go back to this version
#   sh install.sh --remove   take it away; settings and data stay
#   sh install.sh --purge    take it away with settings and secrets; data stays, and it says how to delete it
#   sh install.sh --files ROOT LIB BIN   only lay units and links of a package under ROOT (used to build the .deb)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=/opt/pantau
coming=/opt/.pantau.coming

say() { echo "pantau: $*"; }
refuse() {
    say "$*" >&2
    exit 1
}

# Prints the Python that the wheels are made for.
python() {
    minor=$(cat "$here/python")
    for file in "/usr/bin/python$minor" "/usr/local/bin/python$minor" /usr/bin/python3 /usr/local/bin/python3; do
        if [ -x "$file" ] && [ "$("$file" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)" = "$minor" ]; then
            echo "$file"
            return
        fi
    done
    refuse "this bundle is for Python $minor, which is neither in /usr/bin nor in /usr/local/bin"
}

# files ROOT LIB BIN: what lies outside of /opt/pantau.
files() {
    install -d -m 755 "$1/$2/systemd/system" "$1/$2/tmpfiles.d" "$1/$3"
    cp -r "$here/units/." "$1/$2/systemd/system/"
    install -m 644 "$here/tmpfiles.conf" "$1/$2/tmpfiles.d/pantau.conf"
    ln -sfn $home/bin/pantau "$1/$3/pantau"
}

# A package and a bundle would take each other's files away.
refuse_beside_a_package() {
    command -v dpkg-query > /dev/null || return 0
    case "$(dpkg-query --show --showformat '${db:Status-Status}' pantau 2> /dev/null || true)" in
    "" | not-installed | config-files) ;;
    *) refuse "the .deb is installed: upgrade with dpkg -i, or take it away first: dpkg --remove pantau (settings and data stay)" ;;
    esac
}

# Runs the coming version where it lies, as the service's user where there is one.
try() {
    as=""
    ! getent passwd pantau > /dev/null || as="setpriv --reuid=pantau --regid=pantau --init-groups"
    $as $coming/bin/python3 -I $coming/bin/pantau "$@" 2>&1
}

refuse_what_cannot_run() {
    why=$(try --version) || stay "$why"
    [ ! -e /etc/pantau/server.toml ] || why=$(try config check /etc/pantau/server.toml) || stay "$why"
}

stay() {
    rm -rf $coming
    refuse "this version cannot run here, nothing was changed: $1"
}

case "${1:-}" in
--files)
    files "$2" "$3" "$4"
    ;;
--remove | --purge)
    refuse_beside_a_package
    cd /
    # what is read after the folder is gone
    keep=$(mktemp)
    cp "$here/postrm" "$keep"
    sh "$here/prerm" remove
    for unit in "$here"/units/*; do
        rm -rf "/etc/systemd/system/${unit##*/}"
    done
    rm -rf $home /etc/tmpfiles.d/pantau.conf /usr/local/bin/pantau
    sh "$keep" "${1#--}"
    rm "$keep"
    ;;
"")
    [ "$(id -u)" = 0 ] || refuse "only root can install"
    refuse_beside_a_package
    interpreter=$(python)
    cd /
    umask 022
    "$interpreter" -I "$here/lay.py" --root / --home ${coming#/}
    install -d $coming/share/bundle
    cp -r "$here/install.sh" "$here/prerm" "$here/postrm" "$here/units" $coming/share/bundle/
    refuse_what_cannot_run
    former=""
    [ ! -d $home ] || former=installed
    rm -rf /opt/.pantau.going
    [ -z "$former" ] || mv $home /opt/.pantau.going
    mv $coming $home
    rm -rf /opt/.pantau.going
    files "" etc usr/local/bin
    sh "$here/postinst" configure "$former"
    ;;
*)
    sed -n '2,5s/^# *//p' "$0"
    exit 2
    ;;
esac
