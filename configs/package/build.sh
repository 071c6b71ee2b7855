#!/bin/sh
# Builds the agent's offline packages: dist/pantau-agent_VERSION_ARCH.deb and dist/pantau-agent-VERSION-MACHINE.tar.gz.
# The network is needed here only. "$1" is a Python with pip.
set -eu

python=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
pythons="3.11 3.12 3.13 3.14"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/pyproject.toml")
machine=$(uname -m)
name=pantau-agent-$version-$machine
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
mkdir -p "$work/$name/wheels" "$top/dist"

pip() { "$python" -m pip "$@" --quiet --disable-pip-version-check --no-deps; }

# What the agent needs, with the versions and hashes of the lock.
awk '/^(msgspec|psutil)==/ { on = 1 } on { print } on && !/\\$/ { on = 0 }' "$top/requirements.txt" > "$work/requirements.txt"
for minor in $pythons; do
    pip download --require-hashes --only-binary :all: --implementation cp --python-version "$minor" \
        --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" --platform "manylinux_2_28_$machine" \
        --dest "$work/$name/wheels" --requirement "$work/requirements.txt"
done
pip wheel --wheel-dir "$work/$name/wheels" "$top"
for file in install.sh preinst postinst prerm postrm pantau-agent rollback; do
    cp "$here/$file" "$work/$name/"
done
cp "$top/LICENSE" "$work/$name/"
tar --create --gzip --file "$top/dist/$name.tar.gz" --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" "$name"
echo "dist/$name.tar.gz"

if ! command -v dpkg-deb > /dev/null; then
    echo "dpkg-deb is missing, so there is no .deb: apt-get install dpkg" >&2
    exit 1
fi
arch=$(dpkg --print-architecture)
root=$work/root
sh "$work/$name/install.sh" --files "$root"
install -d "$root/DEBIAN" "$root/usr/share/doc/pantau-agent"
cp "$top/LICENSE" "$root/usr/share/doc/pantau-agent/copyright"
install -m 755 "$here/preinst" "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN/"
cat > "$root/DEBIAN/control" << CONTROL
Package: pantau-agent
Version: $version
Architecture: $arch
Maintainer: Pantau <pantau@kota.example>
Section: admin
Priority: optional
Depends: python3 (>= 3.11), python3 (<< 3.15), passwd
Suggests: smartmontools, chrony
Installed-Size: $(du -sk "$root" | cut -f1)
Description: agent of the Pantau monitoring suite
 Collects this host's figures and sends them to the centre. Brings its own
 environment under /opt/pantau-agent and needs no network to be installed.
CONTROL
dpkg-deb --root-owner-group --build "$root" "$top/dist/pantau-agent_${version}_$arch.deb" > /dev/null
echo "dist/pantau-agent_${version}_$arch.deb"
