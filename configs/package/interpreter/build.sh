#!/bin/sh
# Builds the agent's own CPython, for glibc 2.17 and newer, from Debian's sources; prints the path of its tar.gz, which is kept.
#   sh build.sh PYTHON [MACHINE]     PYTHON has pip and venv; MACHINE is x86_64 or aarch64, by default this one
#   sh build.sh --where [MACHINE]    only print that path, whether it is there or not
# It needs the network, for the sources and the compiler, only when the tar.gz is not there. OpenSSL, SQLite, zlib and libffi are
# part of it, so that it asks the system for nothing but glibc.
set -eu

python=$1
own=$(uname -m)
machine=${2:-$own}
here=$(cd "$(dirname "$0")" && pwd)
prefix=/opt/pantau-agent/lib/python
series=3.13
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pantau
key=$(cat "$here/sources" "$here/requirements.txt" "$here/build.sh" | sha256sum | cut -c 1-16)
tar=$cache/interpreter-$machine-$key.tar.gz
if [ "$python" = --where ] || [ -f "$tar" ]; then
    echo "$tar"
    exit
fi

missing=""
for tool in make patch perl xz tclsh; do
    command -v "$tool" > /dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "to build the agent's interpreter,$missing is missing: apt-get install make patch perl xz-utils tcl" >&2
    exit 1
fi

case $machine in
x86_64 | aarch64) ;;
*) echo "there is no recipe for $machine: x86_64 or aarch64" >&2 && exit 1 ;;
esac
work=$(mktemp -d)
log=$cache/interpreter-$machine.log
trap 'code=$?; rm -rf "$work"; [ "$code" = 0 ] || { tail -n 20 "$log"; echo "the build of the interpreter failed, see $log"; } >&2' EXIT
mkdir -p "$cache"
: > "$log"

"$python" "$here/sources.py" "$cache/sources"
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$here/requirements.txt" >&2
zig=$(echo "$work"/venv/lib/python3*/site-packages/ziglang/zig)
export ZIG_GLOBAL_CACHE_DIR="$work/zig"

# compiler NAME MACHINE: a C compiler whose programs run on that machine with a glibc of 2014
mkdir "$work/bin"
compiler() {
    printf '#!/bin/sh\nexec %s cc -target %s-linux-gnu.2.17 -fno-sanitize=undefined "$@"\n' "$zig" "$2" > "$work/bin/$1"
}
compiler cc "$machine"
compiler cc-here "$own"
for tool in ar ranlib; do
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$zig" "$tool" > "$work/bin/$tool"
done
chmod 755 "$work/bin"/*
export PATH="$work/bin:$PATH" CC=cc AR=ar RANLIB=ranlib
jobs=-j$(nproc)
out=$work/out
# hidden, or a symbol of theirs would be taken for one of another library in the same process
hidden="-O2 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections"

# unpack NAME: the source with Debian's patches, as the folder to be in
unpack() {
    mkdir "$work/$1"
    cd "$work/$1"
    tar --extract --file "$(sources "$1" orig)" --strip-components=1
    tar --extract --file "$(sources "$1" debian)"
    grep -v '^ *\(#.*\)\{0,1\}$' debian/patches/series | while read -r name _; do
        patch --strip=1 --silent < "debian/patches/$name"
    done
}
sources() { echo "$cache/sources/$(sed -n "s|.*/\($1_.*\.$2\.tar\..*\)|\1|p" "$here/sources")"; }

build_zlib() {
    unpack zlib
    CFLAGS=$hidden CHOST=$machine-linux-gnu ./configure --static --prefix="$out"
    make "$jobs" libz.a
    make install
}

build_libffi() {
    unpack libffi
    # a header of it lacks one of its own functions, which returns an int as was understood in older C
    CFLAGS="$hidden -Wno-implicit-function-declaration" ./configure --quiet --build="$own-linux-gnu" --host="$machine-linux-gnu" \
        --prefix="$out" --libdir="$out/lib" \
        --disable-shared --disable-docs --disable-multi-os-directory
    make --silent "$jobs"
    make --silent install
}

build_sqlite() {
    unpack sqlite3
    # its one file of C is put together by programs that run here
    CC=cc-here ./configure --quiet --disable-shared --disable-tcl --disable-readline
    make --silent BCC=cc-here sqlite3.c sqlite3.h
    # shellcheck disable=SC2086
    cc $hidden -DSQLITE_THREADSAFE=1 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_DQS=0 -c sqlite3.c
    ar rcs "$out/lib/libsqlite3.a" sqlite3.o
    cp sqlite3.h "$out/include/"
}

# A client of TLS: without what only servers, other protocols or old certificates need. What it looks for by itself is Debian's.
build_openssl() {
    unpack openssl
    # shellcheck disable=SC2086
    ./Configure "linux-$machine" no-shared no-module no-engine no-legacy no-tests no-docs no-apps no-dso no-quic no-cmp no-cms no-ct \
        no-ts no-srp no-idea no-seed no-camellia no-aria no-bf no-cast no-md4 no-mdc2 no-rc2 no-rc4 no-rmd160 no-whirlpool no-sm2 \
        no-sm3 no-sm4 no-siphash no-dtls no-ssl3 no-comp no-afalgeng no-ui-console no-gost no-srtp no-http \
        $hidden --prefix="$out" --openssldir=/etc/ssl --libdir=lib
    make "$jobs" build_libs
    make install_dev
}

build_python() {
    unpack python3.13
    printf '%s\n' '*disabled*' '_hashlib _dbm _gdbm _tkinter readline _curses _curses_panel _bz2 _lzma nis' > Modules/Setup.local
    # the moment of the build is no part of it, so that the same sources give the same file
    sed -i '1i #define DATE "xx/xx/xx"\n#define TIME "xx:xx:xx"' Modules/getbuildinfo.c
    cross=""
    if [ "$machine" != "$own" ]; then
        cross="--build=$own-linux-gnu --host=$machine-linux-gnu --with-build-python=$work/native$prefix/bin/python3"
        # what configure would find out by running a program
        cross="$cross ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no ac_cv_buggy_getaddrinfo=no"
    fi
    export ZLIB_CFLAGS="-I$out/include" ZLIB_LIBS="-L$out/lib -lz"
    export LIBFFI_CFLAGS="-I$out/include" LIBFFI_LIBS="-L$out/lib -lffi"
    export LIBSQLITE3_CFLAGS="-I$out/include" LIBSQLITE3_LIBS="-L$out/lib -lsqlite3"
    # shellcheck disable=SC2086
    ./configure --quiet --prefix=$prefix --with-openssl="$out" --without-ensurepip --disable-test-modules \
        --without-doc-strings --without-readline --with-pkg-config=no $cross
    # without symbols, and of the libraries only what is called
    make --silent "$jobs" CONFIGURE_LDFLAGS="-s -Wl,--gc-sections"
    # nothing is compiled yet: the package does that, for all of its files at once
    make --silent install DESTDIR="$work/root" COMPILEALL_OPTS="-q -r 0"
}

# What nobody asks an agent for: developing, testing, windows and terminals.
slim() {
    cd "$work/root$prefix"
    mv "bin/python$series" python3
    rm -rf bin include share lib/pkgconfig lib/*.a
    mkdir bin
    mv python3 bin/
    cd "lib/python$series"
    rm -rf config-* test idlelib tkinter turtledemo turtle.py ensurepip venv pydoc_data pydoc.py _pyrepl curses dbm wsgiref xmlrpc \
        unittest doctest.py site-packages __phello__ antigravity.py this.py
    find . -name __pycache__ -prune -exec rm -rf {} +
}

if [ "$machine" != "$own" ]; then
    mkdir "$work/native"
    tar --extract --file "$(sh "$0" "$python")" --directory "$work/native"
fi
for part in zlib libffi sqlite openssl python; do
    echo "building $part for $machine" >&2
    # a shell of its own: within a condition, or a function of one, an error would end nothing
    (set -e; "build_$part") >> "$log" 2>&1
done
(set -e; slim)
cp "$here/sources" "$work/root$prefix/sources"
for licence in openssl/LICENSE.txt python3.13/LICENSE zlib/LICENSE libffi/LICENSE; do
    install -D -m 644 "$work/$licence" "$work/root$prefix/licences/${licence%%/*}"
done
tar --create --file "$work/tar" --directory "$work/root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 opt
gzip -n < "$work/tar" > "$tar.$$"
mv "$tar.$$" "$tar"
echo "$tar"
