#!/bin/bash
# plain.sh SOURCES WORK: what a person would write by hand in place of `phplayer build`: the same libraries as static
# archives and one static PHP (cli and fpm) with the extensions of recipes/php-84.toml, one after another, with plain gcc.
#
# SOURCES holds the source archives under Debian's or upstream's names; WORK is made and must not be there yet.
# The configure options are those of php-extensions/libraries/*.toml, the flags those of src/plan/script.rs. What differs
# is what a person would not do: no glibc but the host's, no sandbox, no store.
set -euo pipefail

[ $# = 2 ] || { echo "usage: plain.sh SOURCES WORK" >&2; exit 2; }
sources=$(realpath "$1")
mkdir "$2"
work=$(realpath "$2")
prefix=$work/usr
jobs=-j2

base="-O2 -fno-semantic-interposition -ffunction-sections -fdata-sections -fvisibility=hidden -fstack-protector-strong -fno-ident"
program="-s -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed"
export CC=gcc CFLAGS="$base -fPIC"
# Only our own libraries: one of the host's would come in as a shared object. `--static`: with what they need themselves.
export PKG_CONFIG="pkg-config --static" PKG_CONFIG_LIBDIR=$prefix/lib/pkgconfig

# enter NAME ARCHIVE...: unpacks the first archive that SOURCES has to src/NAME, and goes to an empty folder for its build.
enter() {
    local name=$1 archive found=
    shift
    for archive; do [ ! -f "$sources/$archive" ] || { found=$sources/$archive; break; }; done
    [ -n "$found" ] || { echo "plain.sh: none of these is in $sources: $*" >&2; exit 1; }
    echo "plain.sh: $name" >&2
    mkdir -p "$work/src/$name" "$work/build/$name"
    tar -xf "$found" -C "$work/src/$name" --strip-components=1
    cd "$work/build/$name"
    src=$work/src/$name
}

static="--disable-shared --enable-static --disable-dependency-tracking"

enter zlib zlib_1.3.dfsg+really1.3.1.orig.tar.gz zlib-1.3.1.tar.gz
"$src/configure" --static --prefix="$prefix"
make $jobs libz.a
make install

enter openssl openssl_3.5.7.orig.tar.gz openssl-3.5.7.tar.gz
case $(uname -m) in aarch64) openssl_target=linux-aarch64 ;; *) openssl_target=linux-x86_64 ;; esac
"$src/Configure" $openssl_target no-shared no-tests no-docs no-legacy no-module no-engine no-quic no-cmp no-ui-console \
    --prefix="$prefix" --libdir=lib --openssldir=/etc/pki/tls
make $jobs build_libs
make install_dev

enter libxml2 libxml2_2.15.4+dfsg.orig.tar.xz libxml2-2.15.4.tar.xz
cd "$src"
[ -x configure ] || autoreconf -fi
./configure --prefix="$prefix" $static \
    --without-python --without-icu --without-zlib --without-lzma --without-debug --without-modules --without-readline
make $jobs libxml2.la
make install-libLTLIBRARIES install-pkgconfigDATA
make -C include install

enter oniguruma libonig_6.9.9.orig.tar.gz onig-6.9.9.tar.gz
cd "$src"
[ -x configure ] || autoreconf -fi
./configure --prefix="$prefix" $static
make $jobs -C src
make -C src install
make install-pkgconfigDATA

enter sqlite sqlite3_3.46.1.orig.tar.xz sqlite-src-3460100.tar.xz
"$src/configure" --prefix="$prefix" --disable-shared --enable-static --disable-tcl --disable-readline \
    CPPFLAGS="-DSQLITE_ENABLE_COLUMN_METADATA=1"
make $jobs libsqlite3.la sqlite3.h
make lib_install
install -D -m 644 sqlite3.h "$prefix/include/sqlite3.h"
install -D -m 644 sqlite3.pc "$prefix/lib/pkgconfig/sqlite3.pc"

enter curl curl_8.14.1.orig.tar.gz curl-8.14.1.tar.gz
"$src/configure" --prefix="$prefix" $static \
    --with-openssl="$prefix" --with-zlib="$prefix" --without-ca-bundle --without-ca-path --with-ca-fallback \
    --without-libpsl --without-brotli --without-zstd --without-nghttp2 --without-libidn2 --without-libssh2 \
    --disable-ldap --disable-manual --disable-docs --disable-libcurl-option --enable-threaded-resolver
make $jobs -C lib
make -C lib install
make -C include install
make install-pkgconfigDATA

# opcache of PHP 8.4 cannot be static in PHP's own build: it is made as the shared object that PHP makes of it.
enter php php8.4_8.4.24.orig.tar.xz php-8.4.24.tar.xz
# gcc makes position-independent executables by itself on Debian; an explicit -pie would break the link of opcache.so.
export CFLAGS="$base -fPIE" LDFLAGS="$program"
"$src/configure" --prefix="$prefix" --disable-all --disable-cgi --disable-phpdbg --enable-cli --enable-fpm --without-pear \
    --with-valgrind=no --disable-rpath \
    --with-config-file-path="$work/etc/php" --with-config-file-scan-dir="$work/etc/php/conf.d" \
    --enable-ctype --enable-fileinfo --enable-filter --with-iconv --enable-mbstring --enable-tokenizer \
    --with-libxml --enable-dom --enable-simplexml --enable-xml --enable-xmlreader --enable-xmlwriter \
    --with-curl --with-openssl \
    --enable-mysqlnd --enable-mysqlnd-compression-support --with-mysqli=mysqlnd \
    --enable-pdo --with-pdo-mysql=mysqlnd --with-pdo-sqlite --with-sqlite3 \
    --enable-opcache --enable-opcache-jit --enable-pcntl --enable-phar --enable-posix --enable-session --with-zlib
make $jobs
make install-cli install-fpm install-modules

# It must be what was asked for, or its time says nothing.
modules=$("$prefix/bin/php" -n -m)
for name in ctype curl dom fileinfo filter iconv mbstring mysqli mysqlnd openssl pcntl PDO pdo_mysql pdo_sqlite Phar \
    posix session SimpleXML sqlite3 tokenizer xml xmlreader xmlwriter zlib; do
    grep -qx "$name" <<< "$modules" || { echo "plain.sh: PHP came out without $name" >&2; exit 1; }
done
"$prefix/sbin/php-fpm" -n -v
