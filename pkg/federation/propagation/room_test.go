package propagation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// roomyView is a view of an object whose API server takes statuses of up to so many bytes,
// and counts the ones that it is sent.
func roomyView(t *testing.T, limitBytes int) (v *view, sent *atomic.Int64) {
	t.Helper()
	sent = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		sent.Add(1)
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		var object struct{ Status json.RawMessage }
		if err := json.Unmarshal(body, &object); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		if len(object.Status) <= limitBytes {
			_, _ = w.Write(body)
			return
		}
		refusal := apierrors.NewRequestEntityTooLargeError("limit is 3145728")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_ = json.NewEncoder(w).Encode(refusal.Status())
	}))
	t.Cleanup(server.Close)
	factory, err := fedclient.New(&rest.Config{Host: server.URL}, "types.kubefed.io")
	if err != nil {
		t.Fatal(err)
	}
	federated := &v1beta2.FederatedObject{}
	federated.Kind, federated.APIVersion = "FederatedConfigMap", "types.kubefed.io/v1beta2"
	federated.Name, federated.Namespace, federated.UID, federated.Generation = "web", "shop", "u1", 3
	return &view{
		key: objectKey{"configmaps", "shop", "web"}, kind: &kind{feed: &feed{factory: factory, plural: "federatedconfigmaps"}},
		federated: federated, memory: &memory{},
	}, sent
}

func entriesWithStatus(n int) []v1beta2.TargetStatus {
	var entries []v1beta2.TargetStatus
	for i := range n {
		entries = append(entries, v1beta2.TargetStatus{Name: fmt.Sprintf("m%03d", i), Hash: "h", Version: "gen:1",
			RemoteStatus: []byte(`"` + strings.Repeat("r", 1000) + `"`)})
	}
	return entries
}

func TestAStatusThatTheAPIServerFindsTooLargeIsMadeSmaller(t *testing.T) {
	v, sent := roomyView(t, 100<<10)
	e := &Engine{now: time.Now}
	if err := e.writeStatus(t.Context(), v, entriesWithStatus(300)); err != nil {
		t.Fatal(err)
	}
	got := v.federated.Status
	if len(got.Targets) != 300 || got.Targets[299].Hash != "h" {
		t.Errorf("records are lost: there are %d", len(got.Targets))
	}
	if message := got.Conditions[0].Message; !strings.Contains(message, "the status of ") || !strings.Contains(message, "left out") {
		t.Errorf("got condition %q", message)
	}
	first := sent.Load()
	if err := e.writeStatus(t.Context(), v, entriesWithStatus(300)); err != nil {
		t.Fatal(err)
	}
	if again := sent.Load() - first; again != 0 {
		t.Errorf("the same status was sent %d times more", again)
	}
}

func TestAStatusForWhichThereIsNoRoomIsNotTriedAgain(t *testing.T) {
	v, sent := roomyView(t, 2<<10)
	e := &Engine{now: time.Now}
	if err := e.writeStatus(t.Context(), v, entriesWithStatus(300)); !errors.Is(err, errNoRoom) {
		t.Fatalf("got %v, want errNoRoom: nothing may be written to members", err)
	}
	if message := v.federated.Status.Conditions[0].Message; !strings.HasPrefix(message, status.DoesNotFit) {
		t.Errorf("got condition %q", message)
	}
	first := sent.Load()
	if err := e.writeStatus(t.Context(), v, entriesWithStatus(300)); !errors.Is(err, errNoRoom) {
		t.Errorf("got %v, want errNoRoom", err)
	}
	if again := sent.Load() - first; again != 0 {
		t.Errorf("it was sent %d times more", again)
	}
	v.federated.Generation++
	if err := e.writeStatus(t.Context(), v, entriesWithStatus(2)); err != nil {
		t.Errorf("once the object has changed: %v", err)
	}
}
