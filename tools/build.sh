#!/bin/sh
# Compiles the product into dist/ when a source is newer than the last build, or always with --force. Without the compiler
# (npm ci --omit=dev) what is there stays.
set -e
cd "$(dirname "$0")/.."
stamp=dist/.built
if [ "$1" != --force ]; then
  [ -x node_modules/.bin/tsc ] || exit 0
  sources="gateway services lib tools proto/gen package.json package-lock.json tsconfig.json tsconfig.build.json"
  if [ -e "$stamp" ] && [ -z "$(find $sources -newer "$stamp" -type f -print -quit)" ]; then exit 0; fi
fi
node_modules/.bin/tsc -p tsconfig.build.json
cp services/token-lifecycle/store/*.lua dist/services/token-lifecycle/store/
mkdir -p dist/tools/simulate/scenarios
cp tools/simulate/scenarios/*.yaml dist/tools/simulate/scenarios/
chmod +x dist/tools/cli/main.js
mkdir -p dist/services/token-lifecycle/console/page
cp services/token-lifecycle/console/page/*.html services/token-lifecycle/console/page/*.css services/token-lifecycle/console/page/*.js \
  services/token-lifecycle/console/page/*.svg dist/services/token-lifecycle/console/page/
touch "$stamp"
