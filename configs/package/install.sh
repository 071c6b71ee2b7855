#!/bin/sh
# Installs the Pantau agent from the files beside this script, without the network and without a Python of the system.
#   sh install.sh            install or upgrade
#   sh install.sh --remove   take it away; settings and spool stay
#   sh install.sh --purge    take it away with settings, token and spool
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=/opt/pantau-agent

case "${1:-}" in
--remove | --purge)
    sh "$here/prerm" remove
    rm -f /etc/systemd/system/pantau-agent.service /usr/local/bin/pantau-agent
    # the last thing, since it takes this script with it
    exec sh "$here/postrm" "${1#--}"
    ;;
"")
    former=""
    [ ! -e $home/bin/pantau-agent ] || former=installed
    sh "$here/preinst" "$([ -z "$former" ] && echo install || echo upgrade)"
    rm -rf $home/lib $home/installer
    install -d -m 755 $home $home/installer /etc/systemd/system /usr/local/bin
    cp -a "$here/files/opt/pantau-agent/." $home/
    cp "$here/install.sh" "$here/prerm" "$here/postrm" $home/installer/
    install -m 644 $home/lib/configs/systemd/pantau-agent.service /etc/systemd/system/
    ln -sfn $home/bin/pantau-agent /usr/local/bin/pantau-agent
    sh "$here/postinst" configure "$former"
    ;;
*)
    sed -n '2,5s/^# *//p' "$0"
    exit 2
    ;;
esac
