# shellcheck shell=bash
# env.sh: the one set of Go build flags. Source it before calling go by hand.
# The Makefile exports the same: changing any of them recompiles everything.
export GOFLAGS="-buildvcs=false -trimpath -tags=grpcnotrace -gcflags=all=-dwarf=false"
