#!/bin/sh
# Backs up a running Redis 7 from its append-only files: backup-redis.sh DATA_DIR NEW_FOLDER, as a user who may write to both.
# With appendfsync always, what was answered before the start is in it. Nothing is asked of Redis, and nothing is held up.
set -eu
data=$1
out=$2
[ ! -e "$out" ] || { echo "$out is there already" >&2; exit 1; }
[ -d "$data/appendonlydir" ] || { echo "$data/appendonlydir is no set of append-only files" >&2; exit 1; }
umask 077
taken=$(mktemp -d "$data/backup.XXXXXX")
trap 'rm -rf "$taken"' EXIT

# Links keep the files also when a rewrite replaces them. The set is whole when all that the manifest names are there, and when
# Redis still works with this very manifest.
take() {
  rm -rf "$taken/appendonlydir"
  cp -al "$data/appendonlydir" "$taken/appendonlydir" 2>/dev/null || return 1
  manifest=$(cd "$taken/appendonlydir" && ls ./*.manifest) || return 1
  while read -r _ name _; do
    [ -e "$taken/appendonlydir/$name" ] || return 1
  done < "$taken/appendonlydir/$manifest"
  cmp -s "$taken/appendonlydir/$manifest" "$data/appendonlydir/$manifest"
}
tries=0
until take; do
  tries=$((tries + 1))
  [ $tries -lt 50 ] || { echo "$data/appendonlydir never holds still" >&2; exit 1; }
  sleep 0.1
done

mkdir "$out"
mkdir "$out/appendonlydir"
# By the manifest alone: a file of a rewrite under way may lie beside the set. The last file may end in the middle of a command;
# Redis drops that when it loads.
cp "$taken/appendonlydir/$manifest" "$out/appendonlydir/"
while read -r _ name _; do
  cp "$taken/appendonlydir/$name" "$out/appendonlydir/"
done < "$taken/appendonlydir/$manifest"
(cd "$out" && find appendonlydir -type f -exec sha256sum {} + > SHA256SUMS)
sync
