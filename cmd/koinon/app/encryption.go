package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/storage"
)

// encryptionClaim is the key under which a store remembers which local key encrypted it.
const encryptionClaim = "/koinon/encryption-config"

// encryptionConfig returns the EncryptionConfiguration to use: the given one, or the local
// one of the data directory. A store that was encrypted with the local key of another data
// directory is refused: half of its Secrets would not be readable here, nor ours there.
func (o *ServerOptions) encryptionConfig(ctx context.Context, dir *dataDir, store *storage.Store) (string, error) {
	if o.EncryptionConfig != "" {
		return o.EncryptionConfig, nil
	}
	path, err := host.EnsureEncryptionConfig(dir.file("encryption"))
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the encryption key: %w", err)
	}
	sum := sha256.Sum256(content)
	ours := hex.EncodeToString(sum[:])
	claimed, err := store.Claim(ctx, encryptionClaim, ours)
	if err != nil {
		return "", err
	}
	if claimed != ours {
		return "", fmt.Errorf("the %s was encrypted with another key than %s: give the same --encryption-provider-config to every server that uses it, or copy the file from the first server's data directory", store, path)
	}
	return path, nil
}

// warningTimeout bounds one write of an Event.
const warningTimeout = 10 * time.Second

// encryptionWarning says that an EncryptionConfiguration leaves credentials of the datastore in the clear: in the log, and in an Event of the
// system namespace, where the doctor finds it.
type encryptionWarning struct {
	file      string
	resources []schema.GroupResource
	events    corev1client.EventInterface
	// system is the namespace of the Event.
	system string
}

func newEncryptionWarning(config *rest.Config, system, file string, resources ...schema.GroupResource) (*encryptionWarning, error) {
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	return &encryptionWarning{file: file, resources: resources, events: client.Events(system), system: system}, nil
}

// run looks at the file now and then, since API servers read it again when it changes, until ctx ends. The log has the same sentence once.
func (w *encryptionWarning) run(ctx context.Context) {
	ticker := time.NewTicker(v1alpha1.NotEncryptedEvery)
	defer ticker.Stop()
	for logged := ""; ; {
		problem, err := host.NotEncrypted(w.file, w.resources...)
		if err == nil && problem != "" {
			if problem != logged {
				klog.FromContext(ctx).Info("Found credentials that are not encrypted in the datastore", "problem", problem)
			}
			w.tell(ctx, problem)
		}
		if err == nil { // one that is being written is no other
			logged = problem
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tell has the Event say a problem. Hosts that forbid it have the log.
func (w *encryptionWarning) tell(ctx context.Context, problem string) {
	ctx, cancel := context.WithTimeout(ctx, warningTimeout)
	defer cancel()
	about := applycorev1.ObjectReference().WithAPIVersion("v1").WithKind("Namespace").WithName(w.system).WithNamespace(w.system)
	event := applycorev1.Event(v1alpha1.NotEncryptedEvent, w.system).WithInvolvedObject(about).WithType(corev1.EventTypeWarning).
		WithReason(v1alpha1.NotEncryptedReason).WithMessage(problem).WithLastTimestamp(metav1.Now()).
		WithSource(applycorev1.EventSource().WithComponent("koinon-server"))
	_, err := w.events.Apply(ctx, event, metav1.ApplyOptions{FieldManager: "koinon-server", Force: true})
	if err != nil && !apierrors.IsForbidden(err) && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Failed to write an Event of credentials that are not encrypted")
	}
}
