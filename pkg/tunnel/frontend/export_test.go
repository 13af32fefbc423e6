package frontend

import "time"

// SetHeadTimeout has connections be closed for others alone, if it is long.
func (f *Frontend) SetHeadTimeout(d time.Duration) { f.headTimeout = d }
