package simulated_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/test/simulation"
)

// rewritten serves a member, and has what it answers to reads and writes of ConfigMaps rewritten.
func rewritten(m *simulation.Member, rewrite func(r *http.Request, body []byte) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/configmaps") || r.URL.Query().Has("watch") {
			m.ServeHTTP(w, r)
			return
		}
		answer := &recorded{header: w.Header(), code: http.StatusOK}
		m.ServeHTTP(answer, r)
		w.WriteHeader(answer.code)
		body := answer.body.Bytes()
		if answer.code < 300 {
			body = rewrite(r, body)
		}
		_, _ = w.Write(body)
	})
}

type recorded struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) WriteHeader(code int)        { r.code = code }
func (r *recorded) Write(p []byte) (int, error) { return r.body.Write(p) }

// isList reports whether a request is for a list of ConfigMaps.
func isList(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/configmaps")
}

// strips returns an admission that takes annotations away, as a webhook of a member may.
func strips(kind string, keys ...string) simulation.Admission {
	return func(t simulation.Type, _ string, object, _ map[string]any) error {
		if t.Kind != kind {
			return nil
		}
		annotations, _ := object["metadata"].(map[string]any)["annotations"].(map[string]any)
		for _, key := range keys {
			delete(annotations, key)
		}
		return nil
	}
}

// hidden answers lists without objects, and watches that show nothing and say that they are far
// ahead.
func hidden(m *simulation.Member) http.Handler {
	lists := rewritten(m, func(r *http.Request, body []byte) []byte {
		if isList(r) {
			return []byte(`{"metadata":{"resourceVersion":"10"},"items":[]}`)
		}
		return body
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/configmaps") && r.URL.Query().Has("watch") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"18446744073709551615"}}}`+"\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		lists.ServeHTTP(w, r)
	})
}

// restless answers everything in a version that is newer each time.
func restless(m *simulation.Member) http.Handler {
	var version atomic.Int64
	version.Store(1 << 40)
	return rewritten(m, func(r *http.Request, body []byte) []byte {
		var object map[string]any
		if isList(r) || r.Method == http.MethodDelete || json.Unmarshal(body, &object) != nil {
			return body
		}
		object["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(version.Add(1))
		data, err := json.Marshal(object)
		if err != nil {
			panic(err)
		}
		return data
	})
}

// haunted lists an object that is not there.
func haunted(m *simulation.Member) http.Handler {
	const ghost = `{"metadata":{"resourceVersion":"1099511627776"},"items":[{"metadata":{"name":"settings","namespace":"shop","uid":"ghost","resourceVersion":"1099511627775",
		"labels":{"kubefed.io/managed":"true"},"annotations":{"federation.koinon.io/federated-object":"shop/settings"}}}]}`
	lists := rewritten(m, func(r *http.Request, body []byte) []byte {
		if isList(r) {
			return []byte(ghost)
		}
		return body
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/configmaps") && r.URL.Query().Has("watch") {
			<-r.Context().Done()
			return
		}
		lists.ServeHTTP(w, r)
	})
}

// forgetful takes every write, and keeps nothing.
func forgetful(m *simulation.Member) http.Handler {
	var version atomic.Int64
	version.Store(1 << 40)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.Contains(r.URL.Path, "/configmaps") {
			m.ServeHTTP(w, r)
			return
		}
		var object map[string]any
		if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
			panic(err)
		}
		metadata := object["metadata"].(map[string]any)
		metadata["resourceVersion"], metadata["uid"] = fmt.Sprint(version.Add(1)), fmt.Sprint("u", version.Load())
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(object)
	})
}

// TestWhatChangesNothingIsDoneSeldom: a member in which our writes do not show, or where somebody
// undoes them, is written to a few times and then once a minute, or tried to; the object is looked at as
// seldom; and meanwhile the status of the other members is written, and they get what is new.
func TestWhatChangesNothingIsDoneSeldom(t *testing.T) {
	const federationKey, ownerKey = "federation.koinon.io/federation", "federation.koinon.io/owner"
	for name, odd := range map[string]struct {
		admit simulation.Admission
		serve func(*simulation.Member) http.Handler
	}{
		"a member that is well":                              {},
		"a webhook that takes the name of the federation":    {admit: strips("ConfigMap", federationKey)},
		"a webhook that takes the marks of namespaces":       {admit: strips("Namespace", federationKey, ownerKey)},
		"lists and watches that do not show what is there":   {serve: hidden},
		"lists of what is not there":                         {serve: haunted},
		"versions that are others each time":                 {serve: restless},
		"creations that leave nothing":                       {serve: forgetful},
		"a webhook that changes what is sent":                {admit: admitData("by a webhook")},
		"a webhook that takes the name of the source object": {admit: strips("ConfigMap", "federation.koinon.io/federated-object")},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(w *world) {
				odd := odd
				w.members["m2"] = simulation.NewMember("m2", 2, simulation.Options{Seed: 1, ManagedFields: true, Admit: odd.admit})
				if odd.serve != nil {
					w.served["m2"] = odd.serve(w.members["m2"])
				}
				w.start()
				defer func() { w.stop() }()
				w.write(placed("settings", "1", nil, nil))
				w.pass(5 * time.Minute)
				w.write(placed("settings", "2", nil, nil))
				w.pass(10 * time.Second)
				if states, _ := w.states("settings"); value(w.members["m1"], "settings") != "2" || states["m1"] != v1beta2.TargetOK {
					w.Errorf("the other member has %q, and the status says %v", value(w.members["m1"], "settings"), states)
				}
				w.pass(5 * time.Minute)
				const minutes = 10
				before, writes, looks := w.members["m2"].Counts(), w.host.Counts().Writes(), w.looks.Load()
				w.pass(minutes * time.Minute)
				after := w.members["m2"].Counts()
				if n := after.Writes() - before.Writes(); n > 5*minutes {
					w.Errorf("the member was written to %d times in %d minutes", n, minutes)
				}
				if n := after.Requests["get"] - before.Requests["get"]; n > 5*minutes {
					w.Errorf("the member was read %d times in %d minutes", n, minutes)
				}
				if n := w.host.Counts().Writes() - writes; n > 5*minutes {
					w.Errorf("the host was written to %d times in %d minutes", n, minutes)
				}
				if n := w.looks.Load() - looks; n > 100*minutes {
					w.Errorf("members were looked at %d times in %d minutes", n, minutes)
				}
				w.remove("settings")
				w.pass(5 * time.Minute)
				if value(w.members["m1"], "settings") != "" {
					w.Error("the other member still has a deleted object")
				}
				gone := w.members["m2"].Counts()
				w.pass(minutes * time.Minute)
				if n := w.members["m2"].Counts().Writes() - gone.Writes(); n > 2*minutes {
					w.Errorf("the member was written to %d times in %d minutes once the object was deleted", n, minutes)
				}
				if n := w.members["m2"].Counts().Requests["get"] - gone.Requests["get"]; n > 5*minutes {
					w.Errorf("the member was read %d times in %d minutes once the object was deleted", n, minutes)
				}
			})
		})
	}
}

// admitData sets the data of ConfigMaps.
func admitData(value string) simulation.Admission {
	return func(t simulation.Type, _ string, object, _ map[string]any) error {
		if t.Kind == "ConfigMap" {
			object["data"] = map[string]any{"key": value}
		}
		return nil
	}
}

// TestAMemberWhoseObjectsChangeAllTheTimeCostsTheHostLittle: what a member says of the status of
// its objects is copied at once, and again, and then four times in three seconds.
func TestAMemberWhoseObjectsChangeAllTheTimeCostsTheHostLittle(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		const objects = 5
		for i := range objects {
			object := placed(fmt.Sprintf("web-%d", i), "1", nil, nil)
			object["kind"] = "FederatedDeployment"
			object["spec"].(map[string]any)["template"] = map[string]any{"spec": map[string]any{"replicas": int64(1)}}
			w.put(federatedDeployments, object)
		}
		w.pass(time.Minute)
		tick := func(round int) {
			for i := range objects {
				object := w.members["m2"].Object(simulation.Deployments, "shop", fmt.Sprintf("web-%d", i))
				if object == nil {
					w.Fatal("the object is not there")
				}
				object["status"] = map[string]any{"observedGeneration": int64(1), "replicas": int64(round)}
				if err := w.members["m2"].Put(simulation.Deployments, object); err != nil {
					w.Fatal(err)
				}
			}
		}
		tick(1)
		w.pass(time.Second)
		if got := w.remoteReplicas("web-3"); got != int64(1) {
			w.Errorf("a second after the first change the status says %v replicas", got)
		}
		writes, looks := w.host.Counts().Writes(), w.looks.Load()
		const seconds = 30
		for round := range seconds * 20 {
			tick(100 + round)
			w.pass(50 * time.Millisecond)
		}
		if n := w.host.Counts().Writes() - writes; n > objects*(seconds*5/4+10) {
			w.Errorf("the host was written to %d times in %d s, %.1f times a second for each object", n, seconds, float64(n)/seconds/objects)
		}
		if n := w.looks.Load() - looks; n > 10*objects*(seconds+10) {
			w.Errorf("members were looked at %d times in %d s", n, seconds)
		}
		tick(7)
		w.pass(time.Minute)
		if got := w.remoteReplicas("web-3"); got != int64(7) {
			w.Errorf("a minute after the last change the status says %v replicas", got)
		}
	})
}

// TestAMemberThatGivesAnotherReasonEachTimeCostsTheHostLittle: why a member is not ready is in the
// status of each object there, and members may say anything.
func TestAMemberThatGivesAnotherReasonEachTimeCostsTheHostLittle(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		const objects, minutes = 20, 5
		for i := range objects {
			w.write(placed(fmt.Sprintf("settings-%d", i), "1", nil, nil))
		}
		w.pass(time.Minute)
		w.health("m2", membership.NotReady, "the member says 0")
		w.pass(2 * time.Second)
		if states, _ := w.states("settings-3"); states["m2"] != v1beta2.TargetClusterNotReady {
			w.Errorf("the status says %v", states)
		}
		before := w.host.Counts().Writes()
		for i := range minutes * 30 {
			w.health("m2", membership.NotReady, fmt.Sprintf("the member says %x", i))
			w.pass(2 * time.Second)
		}
		if n := w.host.Counts().Writes() - before; n > objects*(minutes+1) {
			w.Errorf("the host was written to %d times in %d minutes for %d objects", n, minutes, objects)
		}
		w.health("m2", membership.Ready, "")
		w.pass(2 * time.Second)
		if states, _ := w.states("settings-3"); states["m2"] != v1beta2.TargetOK {
			w.Errorf("once the member is well the status says %v", states)
		}
	})
}
