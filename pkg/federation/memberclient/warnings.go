package memberclient

import (
	"context"
	"slices"
	"sync"
)

// maxWarnings and maxWarningBytes bound what is kept of the warnings of one answer, and
// maxWarningsRead how many are looked at.
const maxWarnings, maxWarningBytes, maxWarningsRead = 8, 256, 1024

// moreWarnings stands for those that were not kept.
const moreWarnings = "... (more warnings of the member were left out)"

// warnings are those of one answer. They may be used concurrently.
type warnings struct {
	mu   sync.Mutex
	kept []string // sorted, each once; at most maxWarnings, the first in that order
	read int      // how many were looked at
	more bool     // there were more
}

type warningsKey struct{}

// collectWarnings has the warnings of requests with the context it returns collected.
func collectWarnings(ctx context.Context) (context.Context, *warnings) {
	collected := &warnings{}
	return context.WithValue(ctx, warningsKey{}, collected), collected
}

// list returns what was collected, sorted. It is nil if there is nothing.
func (w *warnings) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.Clone(w.kept)
	if w.more {
		list = append(list, moreWarnings)
	}
	return list
}

func (w *warnings) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read == maxWarningsRead {
		w.more = true
		return
	}
	w.read++
	text = sentence(text, maxWarningBytes)
	at, found := slices.BinarySearch(w.kept, text)
	if found {
		return
	}
	w.kept = slices.Insert(w.kept, at, text)
	if len(w.kept) > maxWarnings {
		w.kept, w.more = w.kept[:maxWarnings], true
	}
}

// warningCollector is the handler of warnings of all requests. Those that nobody collects
// are dropped: the library's default logs what a member says.
type warningCollector struct{}

// warningCode is that of warnings of API servers.
const warningCode = 299

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (warningCollector) HandleWarningHeaderWithContext(ctx context.Context, code int, _, text string) {
	if collected, ok := ctx.Value(warningsKey{}).(*warnings); ok && code == warningCode && text != "" {
		collected.add(text)
	}
}
