package app

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	// readyInterval is how often a starting server is asked whether it is ready.
	readyInterval = 50 * time.Millisecond
	// slowStart is how long a start may take before the log says what it waits for.
	slowStart = 20 * time.Second
)

// waitReady returns once the server says that it is ready, or with the error of ctx.
func waitReady(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client that asks whether the server is ready: %w", err)
	}
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for warnAt := time.Now().Add(slowStart); ; {
		answer, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).DoRaw(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(warnAt) {
			klog.FromContext(ctx).Info("Server is not ready yet", "error", err, "answer", string(answer))
			warnAt = time.Now().Add(slowStart)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
