package tunnel

import "context"

type sharedKey struct{}

// Shared returns a context of dials that leave a part of each link to others: those of front ends' clients, who must not keep a server
// from what it has to do itself.
func Shared(ctx context.Context) context.Context { return context.WithValue(ctx, sharedKey{}, true) }

// IsShared reports whether a context is of Shared.
func IsShared(ctx context.Context) bool { return ctx.Value(sharedKey{}) != nil }
