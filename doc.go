// Package koinon is the root of Koinon, a federation layer for Kubernetes. It holds no
// code: it is where to begin reading, and where the tests of the repository's own rules
// are.
//
// Commands:
//
//   - cmd/koinon is the control plane, all parts in one process.
//   - cmd/koinon-playground starts real member clusters on one machine, for the
//     quickstart and the tests.
//
// The way of a request, from outside to inside:
//
//   - pkg/host embeds Kubernetes' generic control plane where there is no host cluster.
//   - pkg/apiserver is the API server of the federation layer; pkg/registry holds what it
//     serves, pkg/registry/federated above all.
//   - pkg/apis are the types and the pure rules about them: conversion, validation, names.
//   - pkg/storage embeds the database that stands in for etcd.
//   - pkg/federation are the controllers that carry objects to members.
//
// docs/architecture.md says how they work together, docs/adr why.
package koinon
