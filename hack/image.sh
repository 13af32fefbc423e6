#!/usr/bin/env bash
# image.sh builds the container image of koinon-agent, from artifacts/images/koinon-agent, with buildah, podman or docker. It
# needs no registry.
#
# Usage: hack/image.sh IMAGE [PLATFORM...]
#   PLATFORM is linux/ARCH; the default is linux/amd64 linux/arm64.
#   KOINON_IMAGE_BUILDER names the program.
set -o errexit -o nounset -o pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "${repo}"
source hack/env.sh

if [[ $# -lt 1 || -z "$1" ]]; then
  echo "hack/image.sh: the name of the image is needed, such as registry.example/koinon-agent:v1" >&2
  exit 1
fi
image="$1"
shift
platforms=("$@")
[[ ${#platforms[@]} -gt 0 ]] || platforms=(linux/amd64 linux/arm64)

builder="${KOINON_IMAGE_BUILDER:-}"
for program in buildah podman docker; do
  [[ -n "${builder}" ]] || builder="$(command -v "${program}" || true)"
done
if [[ -z "${builder}" ]]; then
  echo "hack/image.sh: none of buildah, podman and docker is installed" >&2
  exit 1
fi

context="$(mktemp -d)"
trap 'rm -rf "${context}"' EXIT
for platform in "${platforms[@]}"; do
  mkdir -p "${context}/${platform}"
  CGO_ENABLED=0 GOOS="${platform%%/*}" GOARCH="${platform#*/}" \
    go build -ldflags "$(hack/ldflags.sh)" -o "${context}/${platform}/" ./cmd/koinon-agent
done

recipe=artifacts/images/koinon-agent/Dockerfile
case "$(basename "${builder}")" in
docker)
  for platform in "${platforms[@]}"; do
    "${builder}" build --file "${recipe}" --platform "${platform}" --build-arg "TARGETOS=${platform%%/*}" --build-arg "TARGETARCH=${platform#*/}" \
      --tag "${image}-${platform//\//-}" "${context}"
  done
  ;;
*)
  for platform in "${platforms[@]}"; do
    "${builder}" build --file "${recipe}" --platform "${platform}" --build-arg "TARGETOS=${platform%%/*}" --build-arg "TARGETARCH=${platform#*/}" \
      --manifest "${image}" "${context}"
  done
  ;;
esac
