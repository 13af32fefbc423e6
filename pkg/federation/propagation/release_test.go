package propagation

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
)

// memberWith is a member that has one object, of which it takes patches of that very version.
func memberWith(t *testing.T, uid types.UID, version string) *memberclient.Conn {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var patch metav1.PartialObjectMetadata
		w.Header().Set("Content-Type", "application/json")
		if r.Method != http.MethodPatch || json.NewDecoder(r.Body).Decode(&patch) != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if given := patch; given.UID != "" && given.UID != uid || given.ResourceVersion != "" && given.ResourceVersion != version {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409,"message":"version 6 of u2"}`))
			return
		}
		_, _ = w.Write([]byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"web","namespace":"shop"}}`))
	}))
	t.Cleanup(server.Close)
	conn, err := memberclient.NewConn(t.Context(), &rest.Config{Host: server.URL}, func(schema.GroupVersionResource, memberclient.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestOnlyWhatWasReadIsReleased(t *testing.T) {
	k := &kind{target: memberclient.Type{Resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}}}
	read := &unstructured.Unstructured{Object: map[string]any{}}
	read.SetUID("u1")
	read.SetResourceVersion("5")
	const changed = "the object there was changed while it was released; it is looked at again"
	for name, test := range map[string]struct {
		uid     types.UID
		version string
		failed  bool
		message string
	}{
		"the object that was read is released, and stays":        {"u1", "5", false, ""},
		"one that somebody has written since is looked at again": {"u1", "6", true, changed},
		"another one of the name keeps its label":                {"u2", "5", true, changed},
	} {
		t.Run(name, func(t *testing.T) {
			o := running()
			o.intent = release
			at := spot{conn: memberWith(t, test.uid, test.version), kind: k, namespace: "shop", name: "web"}
			got := at.release(t.Context(), o, read)
			if got.failed != test.failed || got.gone == test.failed || got.stays == test.failed || got.record.Message != test.message {
				t.Errorf("got %+v", got)
			}
			if test.failed && (got.record.State != v1beta2.TargetLabelRemovalFailed || got.record.Hash == "") {
				t.Errorf("the record after a failure is %+v", got.record)
			}
		})
	}
}
