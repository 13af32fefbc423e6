// Package webhook serves the two shapes of federated objects to people who install the
// types as CRDs in a stock cluster: conversion and admission over the very functions that
// Koinon's own API server calls in process.
//
//	POST /convert   ConversionReview (apiextensions.k8s.io/v1): v1beta1 <-> v1beta2
//	POST /mutate    AdmissionReview (admission.k8s.io/v1): defaults, and puts back what a
//	                write through v1beta1 dropped
//	POST /validate  AdmissionReview (admission.k8s.io/v1): refusals and warnings
//
// NewNamespaces is another handler, for a host that serves namespaces itself: it asks the server that
// it is given about changes of them.
//
// Any kind Federated<Kind> of the group is served; there is no list of kinds. Manifests
// are in artifacts/crds. The three are pure functions of the request: their handler holds no
// state, does no I/O beside its connection, and may be called concurrently.
//
// A refusal is part of the answer, with HTTP status 200. A body that is not a review gets
// 400, one that does not arrive in time 408, one that is too large, as it came or decoded,
// 413, and 429 comes while other requests hold all that may be held.
//
// API servers call webhooks without credentials, so whoever reaches the port can do the same.
// Therefore a server has these paths only when it is asked for them, clients have deadlines,
// and what a request may cost is counted before it is spent: see Config.
//
// # What the stock cluster has to do
//
// CRD conversion sees one object at a time, so it cannot know what a writer dropped.
// /mutate can: it is called with the stored object in the version of the request. Both
// webhooks are needed for a stock KubeFed controller to work on cells, and the CRDs
// alone are enough for reading. Fields that are in neither schema are pruned by the
// cluster, and what a status write keeps of metadata and spec is the cluster's own rule:
// nothing.
package webhook
