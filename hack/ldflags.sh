#!/usr/bin/env bash
# ldflags.sh: print the linker flags of every binary: no debug data, the version of the
# Kubernetes libraries where they look for it (an API server without that stamp thinks it
# is v0.0.0 and serves nothing newer), and our own.
#
#   go build -ldflags "$(hack/ldflags.sh)" ./cmd/koinon
#   cd test/minors/kubernetes-1.34 && go build -ldflags "$(../../../hack/ldflags.sh go.mod)" .
#
# VERSION overrides our version; the default is what git describe says.
# An argument names the go.mod that says which Kubernetes, or kubectl, it is; the default is ours.
set -euo pipefail
module=$(realpath "${1:-$(dirname "$0")/../go.mod}")
cd "$(dirname "$0")/.."

kubernetes=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$module" | head -1)
if [[ -z "$kubernetes" ]]; then
	kubernetes=$(sed -n 's/^[[:space:]]*k8s.io\/kubectl v0\([0-9.]*\)$/v1\1/p' "$module" | head -1)
fi
minor=${kubernetes#v1.}
minor=${minor%%.*}
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
version=${VERSION:-$(git describe --tags --always --dirty=+ 2>/dev/null || echo devel)}

flags='-s -w'
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	flags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
done
ours=github.com/koinon-io/koinon/pkg/version
flags+=" -X $ours.version=$version -X $ours.commit=$commit"
echo "$flags"
