#!/bin/sh
# Builds the centre's offline packages for the minor of the Python given and this machine:
# dist/pantau_VERSION_ARCH.deb and dist/pantau-VERSION-MACHINE-cpXY.tar.gz. The network is needed here only.
# "$1" is a Python with pip.
set -eu

python=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/pyproject.toml")
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
machine=$(uname -m)
name=pantau-$version-$machine-cp$(echo "$minor" | tr -d .)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
bundle=$work/$name
mkdir -p "$bundle/wheels" "$bundle/units" "$bundle/share" "$top/dist"

pip() { "$python" -m pip "$@" --quiet --disable-pip-version-check --no-deps; }

# Everything of the lock, with its versions and hashes, for the oldest glibc that the libraries are made for.
pip download --require-hashes --only-binary :all: --implementation cp --python-version "$minor" \
    --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" --platform "manylinux_2_28_$machine" \
    --dest "$bundle/wheels" --requirement "$top/requirements.txt"
pip wheel --wheel-dir "$bundle/wheels" "$top"

for file in install.sh lay.py preinst postinst prerm postrm tmpfiles.conf; do
    cp "$here/$file" "$bundle/"
done
cp "$here/server.toml" "$here/services.toml" "$top/configs/nginx/pantau.conf" "$bundle/share/"
install -D -m 644 "$top/configs/server.toml" "$bundle/share/examples/server.toml"
install -D -m 644 "$top/configs/services.toml" "$bundle/share/examples/services.toml"
find "$top/configs/systemd" -maxdepth 1 \( -name 'pantau-server.*' -o -name 'pantau-backup.*' \) -exec cp -r {} "$bundle/units/" \;
cp -r "$top/configs/container" "$bundle/container"
cp "$top/LICENSE" "$bundle/"
echo "$minor" > "$bundle/python"
(cd "$bundle/wheels" && sha256sum ./*.whl | sed 's|\./||') > "$bundle/wheels.sha256"
tar --create --gzip --file "$top/dist/$name.tar.gz" --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" "$name"
echo "dist/$name.tar.gz"

if ! command -v dpkg-deb > /dev/null; then
    echo "dpkg-deb is missing, so there is no .deb: apt-get install dpkg" >&2
    exit 1
fi
arch=$(dpkg --print-architecture)
root=$work/root
"$python" -I "$bundle/lay.py" --root "$root" --python "/usr/bin/python$minor"
sh "$bundle/install.sh" --files "$root" usr/lib usr/bin
"$python" "$top/docs/manual.py" pantau "$root"
install -d "$root/DEBIAN" "$root/usr/share/doc/pantau"
cp "$top/LICENSE" "$root/usr/share/doc/pantau/copyright"
install -m 755 "$here/preinst" "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN/"
cat > "$root/DEBIAN/control" << CONTROL
Package: pantau
Version: $version
Architecture: $arch
Maintainer: Pantau <pantau@kota.example>
Section: admin
Priority: optional
Depends: python3 (>= $minor), python3 (<< 3.$((${minor#3.} + 1))), libc6 (>= 2.28), passwd, util-linux
Recommends: ca-certificates
Suggests: nginx, postgresql
Installed-Size: $(du -sk "$root" | cut -f1)
Description: centre of the Pantau monitoring suite
 Takes the figures of agents, looks at services and network devices, tells
 people of incidents and reports availability. Brings its own environment
 under /opt/pantau and needs no network to be installed.
CONTROL
# zstd and not xz: the centre that runs waits for the files of the next one
dpkg-deb --root-owner-group -Zzstd --build "$root" "$top/dist/pantau_${version}_$arch.deb" > /dev/null
echo "dist/pantau_${version}_$arch.deb"
