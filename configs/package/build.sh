#!/bin/sh
# Builds the agent's offline packages with its own interpreter: dist/pantau-agent_VERSION_ARCH.deb, dist/pantau-agent-VERSION-1.MACHINE.rpm
# and dist/pantau-agent-VERSION-MACHINE.tar.gz. The network is needed here only.
#   sh build.sh PYTHON [MACHINE]    PYTHON has pip and venv; MACHINE is x86_64 or aarch64, by default this one
set -eu

python=$1
machine=${2:-$(uname -m)}
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
home=opt/pantau-agent
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/pyproject.toml")
name=pantau-agent-$version-$machine
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

missing=""
for tool in dpkg-deb:dpkg rpmbuild:rpm; do
    command -v "${tool%:*}" > /dev/null || missing="$missing ${tool#*:}"
done
if [ -n "$missing" ]; then
    echo "to build the agent's packages: apt-get install$missing" >&2
    exit 1
fi
interpreter=$(sh "$here/interpreter/build.sh" "$python" "$machine")
# what is compiled is the same for all machines
runs=$(sh "$here/interpreter/build.sh" "$python")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
files=$work/$name/files
lib=$files/$home/lib
mkdir -p "$work/wheels" "$work/runs" "$lib" "$files/$home/bin" "$top/dist"
tar --extract --file "$runs" --directory "$work/runs"
tar --extract --file "$interpreter" --directory "$files"

pip() { "$python" -m pip "$@" --quiet --disable-pip-version-check --no-deps; }

# What the agent needs, with the versions and hashes of the lock.
awk '/^(msgspec|psutil)==/ { on = 1 } on { print } on && !/\\$/ { on = 0 }' "$top/requirements.txt" > "$work/requirements.txt"
pip download --require-hashes --only-binary :all: --implementation cp --python-version 3.13 \
    --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
    --dest "$work/wheels" --requirement "$work/requirements.txt"
pip wheel --wheel-dir "$work/wheels" "$top"
"$work/runs/$home/lib/python/bin/python3" -I - "$work/wheels" "$lib" << 'PY'
import pathlib, sys, zipfile

wheels, lib = map(pathlib.Path, sys.argv[1:])
centre = ("server/", "alerts/", "collectors/checks/", "collectors/snmp/", "configs/package/", "configs/centre/", "configs/container/",
    "configs/ansible/", "configs/nginx/")
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(lib, [name for name in archive.namelist() if not name.startswith(centre)])
PY
install -m 755 "$here/pantau-agent" "$here/rollback" "$files/$home/bin/"
find "$files" -type d -exec chmod 755 {} +
# what is compiled here is good as long as the file has the time that it was compiled of
find "$files" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
"$work/runs/$home/lib/python/bin/python3" -I -m compileall -q -f --invalidation-mode timestamp -s "$files" -p / "$lib"
find "$lib" -type f ! -path '*/bin/*' -exec chmod 644 {} +
find "$files" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

# scripts KIND FOLDER: what runs before and after, of a package of that kind
scripts() {
    for script in preinst postinst prerm postrm; do
        sed "s/^kind=.*/kind=$1/" "$here/$script" > "$2/$script"
        chmod 755 "$2/$script"
    done
}

scripts tar "$work/$name"
cp "$here/install.sh" "$top/LICENSE" "$work/$name/"
tar --create --file "$work/tar" --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "$name"
gzip -n -9 < "$work/tar" > "$top/dist/$name.tar.gz"
echo "dist/$name.tar.gz"

# the places of the system's own packages
install -D -m 644 "$lib/configs/systemd/pantau-agent.service" "$files/usr/lib/systemd/system/pantau-agent.service"
install -D -m 644 "$top/LICENSE" "$files/usr/share/doc/pantau-agent/copyright"
"$python" "$top/docs/manual.py" pantau-agent "$files"
mkdir "$files/usr/bin"
ln -s "/$home/bin/pantau-agent" "$files/usr/bin/pantau-agent"

mkdir -p "$work/rpm/scripts"
scripts rpm "$work/rpm/scripts"
sh "$here/spec.sh" "$version" "$files" "$work/rpm/scripts" > "$work/rpm/pantau-agent.spec"
rpmbuild --quiet -bb --target "$machine-linux" --define "_topdir $work/rpm" --define "_rpmdir $work/rpm" "$work/rpm/pantau-agent.spec"
mv "$work/rpm/$machine/pantau-agent-$version-1.$machine.rpm" "$top/dist/"
echo "dist/pantau-agent-$version-1.$machine.rpm"

case $machine in x86_64) arch=amd64 ;; *) arch=arm64 ;; esac
size=$(du -sk "$files" | cut -f 1)
mkdir "$files/DEBIAN"
scripts deb "$files/DEBIAN"
cat > "$files/DEBIAN/control" << CONTROL
Package: pantau-agent
Version: $version
Architecture: $arch
Maintainer: Pantau <pantau@kota.example>
Section: admin
Priority: optional
Depends: libc6 (>= 2.17), passwd
Recommends: ca-certificates
Suggests: smartmontools, chrony
Installed-Size: $size
Description: agent of the Pantau monitoring suite
 Collects this host's figures and sends them to the centre. Brings its own
 interpreter under /opt/pantau-agent and needs no network to be installed.
CONTROL
# not the builder's own way to compress: the dpkg of Debian 11 knows no zstd
dpkg-deb --root-owner-group -Zxz --build "$files" "$top/dist/pantau-agent_${version}_$arch.deb" > /dev/null
echo "dist/pantau-agent_${version}_$arch.deb"
