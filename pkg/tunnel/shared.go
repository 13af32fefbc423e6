package tunnel

import (
	"context"

	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

type sharedKey struct{}

// Shared returns a context of dials that leave a part of each link to others: those of front ends' clients, who must not keep a server
// from what it has to do itself. What they carry counts for a share, at both ends of a link.
func Shared(ctx context.Context, of mux.Share) context.Context {
	return context.WithValue(ctx, sharedKey{}, of)
}

// IsShared reports whether a context is of Shared.
func IsShared(ctx context.Context) bool { return ctx.Value(sharedKey{}) != nil }

// ShareOf returns the share of a context of Shared. What a server does itself has one together.
func ShareOf(ctx context.Context) mux.Share {
	of, _ := ctx.Value(sharedKey{}).(mux.Share)
	return of
}
