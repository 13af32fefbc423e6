package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

func init() {
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
}

// applyLogging sets up logging and returns a context with our own logger.
//
// The libraries narrate their start at level 0. In text format at the default verbosity
// only their warnings and errors are shown; our own lines always are. With --v=1 or more,
// and in JSON, nothing is held back.
func applyLogging(ctx context.Context, options *logs.Options) (context.Context, error) {
	// Clients in this process get warnings that are meant for people at a terminal.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	streams := &logsapi.LoggingOptions{ErrorStream: os.Stderr, InfoStream: os.Stdout}
	text := options.Format == logsapi.DefaultLogFormat
	if text && options.Verbosity == 0 {
		streams.ErrorStream = quietWriter{os.Stderr}
		streams.InfoStream = io.Discard
	}
	if err := logsapi.ValidateAndApplyWithOptions(options, streams, utilfeature.DefaultFeatureGate); err != nil {
		return nil, fmt.Errorf("set up logging: %w", err)
	}
	if !text {
		return klog.NewContext(ctx, klog.Background()), nil
	}
	ours := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr), textlogger.Verbosity(int(options.Verbosity))))
	return klog.NewContext(ctx, ours), nil
}

// harmless are parts of entries that the libraries log at a start that goes well, and that
// nobody can act on.
var harmless = [][]byte{
	[]byte("because it has no resources."),               // an API version that is not served
	[]byte(`err="namespaces \"kube-system\" not found"`), // the first start, for a moment
	// Clients that left. An aggregator asks five times at once whether a server is there, and
	// takes the first answer.
	[]byte("http2: stream closed"),
	[]byte("unable to write a fallback JSON response: http: Handler timeout"),
	[]byte(`"Timeout or abort while handling"`),
	[]byte(`"Post-timeout activity"`),
	[]byte(`context canceled" logger="UnhandledError" reflector=`),         // our own watches, when the server ends
	[]byte(`time to stop HTTP server" logger="UnhandledError" reflector=`), // those that the library ends, with its reason
	[]byte(`Addr: "koinon-store`),                                          // clients that outlive the embedded store
	[]byte(`Addr: \"koinon-store`),                                         // the same, quoted
	[]byte("transport is closing"),                                         // the store, when it is closed
}

// quietWriter holds back information and harmless warnings. The text logger writes one
// whole entry at a time, which begins with the letter of its severity.
type quietWriter struct {
	out io.Writer
}

// Write implements io.Writer.
func (w quietWriter) Write(entry []byte) (int, error) {
	if len(entry) > 0 && entry[0] == 'I' {
		return len(entry), nil
	}
	for _, part := range harmless {
		if bytes.Contains(entry, part) {
			return len(entry), nil
		}
	}
	return w.out.Write(entry)
}
