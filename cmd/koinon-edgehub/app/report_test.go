package app

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/edgehub/incluster"
	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
)

// newTestHub is a hub in a directory, whose cloud is away.
func newTestHub(t *testing.T, dir string) *hub {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	node, err := identity.Open(identity.Config{Dir: dir, NodeName: "n1", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	up, err := upstream.New(upstream.Config{Servers: []upstream.Server{{URL: "https://127.0.0.1:1"}}, CAs: node.CAs, Probe: upstream.Certificate(node.Certificate), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHub(dir, "n1", up, node, &incluster.Rewriter{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// told is what a hub says that somebody has to look at, and how "koinon-edgehub status" prints it.
func told(t *testing.T, h *hub) (problems, printed string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.statusHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status", nil))
	var r Report
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.print(&out, time.Now(), false); err != nil {
		t.Fatal(err)
	}
	return strings.Join(r.problems(), "\n"), out.String()
}

func TestAnInstallThatIsNotDoneIsSaidWithTheCommandThatMendsIt(t *testing.T) {
	dir := t.TempDir()
	h := newTestHub(t, dir)
	if problems, _ := told(t, h); strings.Contains(problems, "install") {
		t.Errorf("before there is one: %s", problems)
	}
	if err := os.Mkdir(filepath.Join(dir, "kubelet"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kubelet", "before.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	problems, printed := told(t, h)
	for _, want := range []string{"install: kubelet/before.json", `"koinon-edgehub install" puts back what was there`} {
		if !strings.Contains(problems, want) || !strings.Contains(printed, want) {
			t.Errorf("got %q and\n%s, want %q", problems, printed, want)
		}
	}
}
