package computed

import (
	"runtime"
	"testing"
	"weak"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
)

// What the log has forgotten is not kept by a client that reads slowly: thousands of them, each with a part of the log of another
// time, would be more memory than there is.
func TestAWatchThatIsBehindKeepsOneEvent(t *testing.T) {
	f := &follower[*v1alpha1.PropagatedVersion]{changed: make(chan struct{})}
	add := func(revision int64) weak.Pointer[v1alpha1.PropagatedVersion] {
		object := &v1alpha1.PropagatedVersion{}
		f.add(entry[*v1alpha1.PropagatedVersion]{revision: revision, what: "ADDED", object: object})
		return weak.Make(object)
	}
	add(1)
	second := add(2)
	sent, _, _, err := f.next(0)
	if err != nil || sent == nil || sent.revision != 1 {
		t.Fatalf("got %v, %v", sent, err)
	}
	for revision := int64(3); revision <= logEntries+1; revision++ {
		add(revision)
	}
	runtime.GC()
	if second.Value() != nil {
		t.Error("the second event is kept while the first is sent")
	}
	if _, _, _, err := f.next(1); err == nil {
		t.Error("the log has not forgotten it")
	}
	runtime.KeepAlive(sent)
}
