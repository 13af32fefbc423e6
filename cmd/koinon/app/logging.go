package app

import (
	"context"
	"flag"
	"fmt"
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
	if err := logsapi.ValidateAndApply(options, utilfeature.DefaultFeatureGate); err != nil {
		return nil, fmt.Errorf("set up logging: %w", err)
	}
	if options.Format != logsapi.DefaultLogFormat {
		return klog.NewContext(ctx, klog.Background()), nil
	}
	if options.Verbosity == 0 {
		if err := showWarningsOnly(); err != nil {
			return nil, fmt.Errorf("set up logging: %w", err)
		}
	}
	ours := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr), textlogger.Verbosity(int(options.Verbosity))))
	return klog.NewContext(ctx, ours), nil
}

// showWarningsOnly holds back what is logged through klog below a warning.
func showWarningsOnly() error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := flags.Set("legacy_stderr_threshold_behavior", "false"); err != nil {
		return err
	}
	return flags.Set("stderrthreshold", "WARNING")
}
