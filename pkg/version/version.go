// Package version tells which build this is. The linker fills it in (hack/ldflags.sh); it
// imports nothing, so that every binary can use it. It may be called from anywhere.
package version

import "runtime"

// Set by the linker.
var (
	version = "devel"
	commit  = "unknown"
)

// Version is the version of this build, as git describes it, or "devel" when the binary was
// built without hack/ldflags.sh.
func Version() string { return version }

// Commit is the git commit of this build, or "unknown".
func Commit() string { return commit }

// String is one line for people: version, commit, Go release and platform.
func String() string {
	return version + " (commit " + commit + ", " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
