package storage

import (
	"context"

	"k8s.io/apiserver/pkg/admission"
)

// Admission refuses requests at once that the store could not keep, while that is known.
// Otherwise admission control and the checks before it stores would look for things in the
// store, wait for them, and give other answers: that something is forbidden, or an internal
// error.
func (s *Store) Admission() admission.MutationInterface { return &gate{s.answers()} }

type gate struct{ answers *answers }

// Handles implements admission.Interface. What a request connects to is elsewhere.
func (g *gate) Handles(operation admission.Operation) bool { return operation != admission.Connect }

// reviews are the groups whose objects are answers, and not stored.
var reviews = map[string]bool{"authentication.k8s.io": true, "authorization.k8s.io": true}

// Admit implements admission.MutationInterface.
func (g *gate) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	switch {
	case reviews[a.GetResource().Group]:
		return nil
	case a.IsDryRun():
		return g.answers.canRead()
	}
	return g.answers.canWrite()
}
