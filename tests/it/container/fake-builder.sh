#!/bin/sh
# A container builder for tests without one: answers as Docker 23 does, and then does what the file `mode` says.
here=$(dirname "$0")
mode=$(cat "$here/mode")
case "$*" in
    "buildx"*) echo "docker: 'buildx' is not a docker command." >&2; exit 1 ;;
    *"--progress=rawjson"*) echo 'invalid value "rawjson" passed to --progress, valid values are: auto, plain, tty' >&2; exit 125 ;;
    "pull "*)
        [ "$mode" != no-registry ] || { echo "Error response from daemon: no such host" >&2; exit 1; }
        exit 0 ;;
    "image inspect"*)
        [ "$mode" = local-only ] || echo "registry.test/base@sha256:1111111111111111111111111111111111111111111111111111111111111111"
        exit 0 ;;
esac
echo "$*" >>"$here/calls"
while [ $# -gt 0 ]; do
    case $1 in
        --target) target=$2 ;;
        --file) file=$2 ;;
        --output) output=${2#type=local,dest=} ;;
    esac
    shift
done
if [ "$target" = asked ]; then
    [ "$mode" != no-daemon ] || { echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock." >&2; exit 1; }
    if [ "$mode" = old ] && grep -q -- --network=none "$file"; then
        echo "dockerfile parse error line 2: Unknown flag: network" >&2
        exit 1
    fi
    mkdir -p "$output" && cp "$file" "$output/"
    exit 0
fi
cp "$file" "$here/Dockerfile-$target"
case $mode in
    no-gcc)
        echo "#5 [setup 2/3] RUN --network=none missing="
        echo "#5 0.1 phplayer: the base image lacks: gcc ld"
        echo "#5 ERROR: process did not complete successfully: exit code: 1"
        exit 1 ;;
    no-digest)
        from=$(sed -n 's/^FROM \([^ ]*\) AS setup/\1/p' "$file")
        echo "#3 [internal] load metadata for $from"
        echo "#3 ERROR: $from: not found"
        echo "ERROR: failed to solve: $from: failed to resolve source metadata for $from: not found"
        exit 1 ;;
    fails)
        echo "#6 [php-8.4.99 1/1] RUN --network=none"
        echo "#6 0.5 checking for a C compiler"
        echo "#6 0.6 configure: error: the test wants it so"
        echo "#6 ERROR: process did not complete successfully: exit code: 1"
        exit 1 ;;
    foreign)
        echo "#6 [php-8.4.99 1/1] RUN --network=none"
        echo "#6 0.1 exec /bin/sh: exec format error"
        echo "#6 ERROR: process did not complete successfully: exit code: 1"
        exit 1 ;;
    dies)
        echo "#6 [php-8.4.99 1/1] RUN --network=none"
        echo "#6 DONE 61.0s"
        echo "ERROR: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF"
        exit 1 ;;
    sleeps)
        echo "#6 [php-8.4.99 1/1] RUN --network=none"
        echo $$ >"$here/pid"
        exec sleep 600 ;;
esac
echo "#6 [php-8.4.99 1/1] RUN --network=none"
if [ "$mode" = cached ]; then echo "#6 CACHED"; else echo "#6 0.5 text"; echo "#6 DONE 61.0s"; fi
echo "#7 [link 1/1] RUN --network=none"
echo "#7 DONE 1.5s"
if [ -n "$output" ]; then
    mkdir -p "$output/bin"
    cp "$here/program" "$output/bin/php"
    echo '{}' >"$output/versions.json"
    : >"$output/link.map"
fi
