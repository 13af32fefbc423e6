package propagation

import (
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
)

// Objects of some kinds end: a Job that has finished. What has ended and is gone, since its
// TTL or somebody removed it, is not made again. So that is recorded as soon as it is seen. What
// went while nobody watched is taken for ended, if it was there: to run a job twice is worse
// than to run it again on request.

// observeEnd notes whether the object has ended.
func (o *observation) observeEnd(conn *memberclient.Conn, k *kind, namespace, name string) {
	switch {
	case k.completion == nil:
		o.record.Ended = false // whatever somebody has written into the status
	case o.cache != memberclient.Synced:
	case o.live != nil:
		o.record.Ended = o.live.Ended
	case o.record.Version != "" && !o.record.Ended:
		last, seen := conn.SeenDeleted(k.target.Resource, namespace, name)
		o.endUnseen = !seen && k.completion.EndsUnseen()
		o.record.Ended = last.Ended || o.endUnseen
	}
}
