#!/usr/bin/env bash
# update-codegen.sh writes all generated Go code of the API types: deep copies,
# defaults, model names, OpenAPI definitions, apply configurations, clientset, listers
# and informers. It needs nothing but the modules in go.mod.
#
# Usage: hack/update-codegen.sh [DIR]
#   DIR is the tree to write to: a copy of this repository (default: this one).
set -o errexit -o nounset -o pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
tree="$(cd "${1:-${repo}}" && pwd -P)"
source "${repo}/hack/env.sh"

module=github.com/koinon-io/koinon
apis="${module}/pkg/apis"
generated="${module}/pkg/generated"

# Groups with a client; the last two parts of the path name group and version.
client_groups=(
  kubefed/core/v1alpha1
  kubefed/core/v1beta1
  kubefed/scheduling/v1alpha1
  federation/v1alpha1
  edge/v1alpha1
)
# Groups without one: federated kinds are dynamic.
dynamic_groups=(
  kubefed/types/v1beta1
  kubefed/types/v1beta2
)
# Packages of other modules that our types refer to.
referenced=(
  k8s.io/apimachinery/pkg/api/resource
  k8s.io/apimachinery/pkg/apis/meta/v1
  k8s.io/apimachinery/pkg/runtime
  k8s.io/apimachinery/pkg/util/intstr
  k8s.io/apimachinery/pkg/version
)

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
bin="${work}/bin"
(cd "${repo}" && go build -o "${bin}/" \
  k8s.io/code-generator/cmd/{applyconfiguration-gen,client-gen,deepcopy-gen,defaulter-gen,informer-gen,lister-gen} \
  k8s.io/kube-openapi/cmd/openapi-gen)

# run calls a generator; generated files carry no header.
run() {
  local tool="$1"
  shift
  "${bin}/${tool}" --go-header-file /dev/null "$@"
}

# Everything is generated in a copy, and moved to its place at the end: the tree compiles
# all the while.
mkdir -p "${work}/tree/pkg"
cp "${repo}"/go.{mod,sum} "${work}/tree/"
cp -r "${tree}/pkg/apis" "${work}/tree/pkg/"
cd "${work}/tree"
find pkg/apis -name 'zz_generated.*.go' -delete

client_packages=("${client_groups[@]/#/${apis}/}")
all_packages=("${client_packages[@]}" "${dynamic_groups[@]/#/${apis}/}")

echo "Generating deep copies"
run deepcopy-gen --output-file zz_generated.deepcopy.go "${all_packages[@]}"

echo "Generating defaults"
run defaulter-gen --output-file zz_generated.defaults.go "${apis}/kubefed/core/v1beta1"

echo "Generating OpenAPI definitions"
# openapi-gen takes every slice of bytes for a base64 string, and looks at the schema
# methods of structs only. So it gets to see a tree in which rawjson.Value is a struct
# with the same methods.
shadow="${work}/shadow"
mkdir -p "${shadow}/pkg"
cp go.mod go.sum "${shadow}/"
cp -r pkg/apis "${shadow}/pkg/"
rm "${shadow}"/pkg/apis/rawjson/*.go
cat >"${shadow}/pkg/apis/rawjson/doc.go" <<'STUB'
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.koinon.rawjson

package rawjson

// Value is any JSON value.
type Value struct{}

func (Value) OpenAPISchemaType() []string { return nil }
func (Value) OpenAPISchemaFormat() string { return "" }
STUB
readonly_flags=()
for package in "${referenced[@]}"; do
  readonly_flags+=(--readonly-pkg "${package}")
done
(
  cd "${shadow}"
  run openapi-gen \
    --output-dir pkg/generated/openapi --output-pkg "${generated}/openapi" \
    --output-file zz_generated.openapi.go \
    --output-model-name-file zz_generated.model_name.go \
    --report-filename "${work}/violations" \
    "${readonly_flags[@]}" --readonly-pkg time \
    "${referenced[@]}" "${apis}/rawjson" "${all_packages[@]}"
)
mkdir -p pkg/generated
cp -r "${shadow}/pkg/generated/openapi" pkg/generated/
(cd "${shadow}" && find pkg/apis -name zz_generated.model_name.go) | while read -r file; do
  cp "${shadow}/${file}" "${file}"
done

echo "Generating apply configurations"
run applyconfiguration-gen \
  --output-dir pkg/generated/applyconfiguration --output-pkg "${generated}/applyconfiguration" \
  "${client_packages[@]}"

echo "Generating clientset"
input_flags=()
for group in "${client_groups[@]}"; do
  input_flags+=(--input "${group}")
done
run client-gen \
  --clientset-name versioned --input-base "${apis}" "${input_flags[@]}" \
  --output-dir pkg/generated/clientset --output-pkg "${generated}/clientset" \
  --apply-configuration-package "${generated}/applyconfiguration"

echo "Generating listers and informers"
run lister-gen \
  --output-dir pkg/generated/listers --output-pkg "${generated}/listers" "${client_packages[@]}"
run informer-gen \
  --output-dir pkg/generated/informers --output-pkg "${generated}/informers" \
  --versioned-clientset-package "${generated}/clientset/versioned" \
  --listers-package "${generated}/listers" "${client_packages[@]}"

rm -rf "${tree}/pkg/generated"
mv pkg/generated "${tree}/pkg/"
find "${tree}/pkg/apis" -name 'zz_generated.*.go' -delete
find pkg/apis -name 'zz_generated.*.go' | while read -r file; do
  mv "${file}" "${tree}/${file}"
done
