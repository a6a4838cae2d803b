#!/bin/sh
# Fails when proto/gen is not what `npm run generate` makes of proto/.
set -e
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
tsx tools/proto-imports.ts
buf generate -o "$fresh"
diff -r proto/gen "$fresh/proto/gen" || { echo "proto/gen is stale: run npm run generate and commit it" >&2; exit 1; }
