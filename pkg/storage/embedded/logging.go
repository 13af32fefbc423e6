package embedded

import (
	"context"
	"io"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

// redirectOnce guards the one global logger that Kine writes to.
var redirectOnce sync.Once

// redirectLogs sends what Kine logs to klog. Kine narrates its start and every compaction
// at its info level, which is one step of detail down for us: V(2).
func redirectLogs() {
	redirectOnce.Do(func() {
		logrus.SetOutput(io.Discard)
		logrus.SetLevel(logrusLevel())
		logrus.AddHook(klogHook{})
	})
}

// logrusLevel keeps Kine from formatting lines that klog would drop: at its trace level it
// writes out every SQL statement.
func logrusLevel() logrus.Level {
	switch {
	case klog.V(8).Enabled():
		return logrus.TraceLevel
	case klog.V(4).Enabled():
		return logrus.DebugLevel
	case klog.V(2).Enabled():
		return logrus.InfoLevel
	}
	return logrus.WarnLevel
}

type klogHook struct{}

// Levels says that every level is wanted.
func (klogHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire hands one entry to klog.
func (klogHook) Fire(entry *logrus.Entry) error {
	if request, reason, found := cutRequest(entry.Message); found {
		klog.V(4).InfoS("Store failed a request", "request", request, "reason", reason)
		return nil
	}
	// What was going on when the store was closed is no error.
	if strings.HasSuffix(entry.Message, context.Canceled.Error()) {
		entry.Level = logrus.DebugLevel
	}
	switch entry.Level {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		klog.ErrorS(nil, "Store reported an error", "message", entry.Message)
	case logrus.WarnLevel:
		klog.Warningf("Store reported a problem: %s", entry.Message)
	case logrus.InfoLevel:
		klog.V(2).InfoS("Store reported progress", "message", entry.Message)
	default:
		klog.V(4).InfoS("Store reported detail", "message", entry.Message)
	}
	return nil
}

// requestPrefixes begin what Kine's front says of a request that failed. What follows is the
// whole request with its values, then the error.
var requestPrefixes = []string{"error in txn ", "error in put ", "error in compact ", "error while range on "}

// cutRequest takes the contents out of such a line. The client has the error, and the
// engine says when the database is at fault.
func cutRequest(message string) (request, reason string, found bool) {
	for _, prefix := range requestPrefixes {
		if strings.HasPrefix(message, prefix) {
			words := strings.Fields(prefix)
			return words[len(words)-1], message[strings.LastIndex(message, ": ")+2:], true
		}
	}
	return "", "", false
}
