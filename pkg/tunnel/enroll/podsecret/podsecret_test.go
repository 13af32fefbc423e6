package podsecret

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel/enroll"
)

var _ enroll.State = (*State)(nil)

// api is an API server with one Secret, and a rule of its own for the next answers.
type api struct {
	*testing.T
	*httptest.Server

	mu      sync.Mutex
	object  map[string]any                        // nil: there is none; guarded by mu
	version int                                   // guarded by mu
	answer  func(w http.ResponseWriter) (ok bool) // before all else; guarded by mu
	between func()                                // between a read and the write; guarded by mu
}

func start(t *testing.T) (*api, *State) {
	t.Helper()
	a := &api{T: t, object: map[string]any{
		"kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": map[string]any{"mine": "bWluZQ=="},
		"metadata": map[string]any{"name": "s", "labels": map[string]any{"a": "b"}},
	}}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	dir := t.TempDir()
	for file, text := range map[string]string{
		"token": "sesame\n", "namespace": "ns\n", "ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, err := net.SplitHostPort(a.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // it is not for the API server
	s, err := New("s", dir, func(key string) string {
		return map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}[key]
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, s
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path != "/api/v1/namespaces/ns/secrets/s" || r.Header.Get("Authorization") != "Bearer sesame" {
		a.Errorf("asked for %s with %q", r.URL, r.Header["Authorization"])
	}
	if a.answer != nil && a.answer(w) {
		return
	}
	if a.object == nil {
		a.fail(w, http.StatusNotFound, `secrets "s" not found`)
		return
	}
	metadata := a.object["metadata"].(map[string]any)
	if r.Method == http.MethodPut {
		var put map[string]any
		if err := json.NewDecoder(r.Body).Decode(&put); err != nil {
			a.Error(err)
		}
		if put["metadata"].(map[string]any)["resourceVersion"] != strconv.Itoa(a.version) {
			a.fail(w, http.StatusConflict, "the object has been modified")
			return
		}
		a.object = put
		a.version++
		metadata = put["metadata"].(map[string]any)
	}
	metadata["resourceVersion"] = strconv.Itoa(a.version)
	_ = json.NewEncoder(w).Encode(a.object)
	if a.between != nil {
		a.between()
	}
}

func (a *api) fail(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message})
}

// has says what is under a key of the Secret, in base64.
func (a *api) has(key string) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.object["data"].(map[string]any)[key]
}

func TestFilesAreKeysOfTheSecret(t *testing.T) {
	a, s := start(t)
	if _, err := s.Read("agent.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is written: got %v", err)
	}
	for _, text := range []string{"one", "two", ""} {
		if err := s.Write("agent.pem", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read("agent.pem"); err != nil || string(got) != text {
			t.Errorf("got %q, %v", got, err)
		}
	}
	for range 2 {
		if err := s.Remove("agent.pem"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Read("agent.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was removed: got %v", err)
	}
	labels := a.object["metadata"].(map[string]any)["labels"]
	if a.has("mine") != "bWluZQ==" || a.object["type"] != "Opaque" || fmt.Sprint(labels) != "map[a:b]" {
		t.Errorf("what others have in it has changed: %v", a.object)
	}
}

func TestASecretWithoutDataIsAnEmptyState(t *testing.T) {
	a, s := start(t)
	for _, data := range []any{nil, map[string]any{}} {
		a.object["data"] = data
		if _, err := s.Read("ca.crt"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		if err := s.Write("ca.crt", []byte("x")); err != nil {
			t.Error(err)
		}
	}
}

func TestAWriteKeepsWhatWasWrittenInBetween(t *testing.T) {
	a, s := start(t)
	a.between = func() {
		a.between = nil
		a.version++
		a.object["data"].(map[string]any)["other"] = "b3RoZXI="
	}
	if err := s.Write("agent.pem", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if a.has("other") != "b3RoZXI=" || a.has("agent.pem") != "eA==" {
		t.Errorf("it has %v", a.object["data"])
	}
	a.between = func() { a.version++ }
	if err := s.Write("agent.pem", []byte("y")); err == nil || err.Error() != "the Secret ns/s: others write it all the time" {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsWrongWithTheSecretIsASentence(t *testing.T) {
	answers := func(code int, text string) func(*api) {
		return func(a *api) {
			a.answer = func(w http.ResponseWriter) bool {
				w.WriteHeader(code)
				_, _ = io.WriteString(w, text)
				return true
			}
		}
	}
	for what, test := range map[string]struct {
		change func(*api)
		want   string
	}{
		"it was deleted":           {func(a *api) { a.object = nil }, "the Secret ns/s does not exist: it was deleted, and what was in it is lost; the manifest"},
		"no rights":                {answers(403, `{"kind":"Status","message":"secrets \"s\" is forbidden"}`), `the Secret ns/s: the pod's account may not get it: secrets "s" is forbidden`},
		"a token that is not good": {answers(401, `{"kind":"Status"}`), "the API server does not take the token of the pod's account"},
		"an outage":                {answers(500, "<html>\n<b>no</b>"), "the API server answers get with 500 Internal Server Error: <html> <b>no</b>"},
		"a redirect":               {answers(302, "elsewhere"), "the API server answers get with 302 Found: elsewhere"},
		"another thing":            {answers(200, "hello"), "answers with something that is no Secret"},
		"another kind":             {answers(200, `{"kind":"ConfigMap"}`), "answers with something that is no Secret"},
		"no bytes":                 {answers(200, `{"kind":"Secret","data":{"a":"!"}}`), "its data cannot be read"},
		"far too much":             {answers(200, strings.Repeat(" ", maxAnswerBytes+1)), "has more than 2097152 bytes"},
		"nobody there":             {func(a *api) { a.Close() }, "the Secret ns/s: the API server of this cluster: dial tcp"},
	} {
		t.Run(what, func(t *testing.T) {
			a, s := start(t)
			test.change(a)
			_, err := s.Read("agent.pem")
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Read: got %v, want %q", err, test.want)
			}
			if again := s.Write("agent.pem", nil); again == nil || again.Error() != err.Error() {
				t.Errorf("Write: got %v, and Read said %v", again, err)
			}
		})
	}
}

func TestTheAccountIsReadAnew(t *testing.T) {
	a, s := start(t)
	a.answer = func(w http.ResponseWriter) bool { return false }
	if err := os.Remove(filepath.Join(s.account, "token")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read("agent.pem"); err == nil || !strings.HasPrefix(err.Error(), "the account of the pod: open ") || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a token: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.account, "token"), []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read("mine"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(s.account, "ca.crt"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read("mine"); err == nil || !strings.HasSuffix(err.Error(), "ca.crt has no certificate") {
		t.Errorf("without an authority: got %v", err)
	}
}

func TestWhatIsNoSecretOfAPod(t *testing.T) {
	pod := func(string) string { return "1" }
	dir := t.TempDir()
	for what, test := range map[string]struct {
		name   string
		getenv func(string) string
		want   string
	}{
		"a path":       {"../s", pod, `"../s" is no name of a Secret: lower case`},
		"nothing":      {"", pod, `"" is no name of a Secret`},
		"no pod":       {"s", func(string) string { return "" }, "this is no pod of a cluster"},
		"no namespace": {"s", pod, "the account of the pod: open"},
	} {
		if _, err := New(test.name, dir, test.getenv); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", what, err, test.want)
		}
	}
}
