package cli

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/version"
)

func TestVersion(t *testing.T) {
	use(t, newAPI(t).kubeconfig())
	client := "Client Version: " + version.Version() + "\n"
	for args, want := range map[string]string{
		"":         client + "Server Version: v1.36.3\n",
		"--client": client,
	} {
		if stdout, _, err := run(t, append([]string{"version"}, strings.Fields(args)...)...); err != nil || stdout != want {
			t.Errorf("version %s: got %q, %v, want %q", args, stdout, err, want)
		}
	}
}

func TestVersionForPrograms(t *testing.T) {
	use(t, newAPI(t).kubeconfig())
	for format, decode := range map[string]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(data []byte, into any) error { return yaml.Unmarshal(data, into) },
	} {
		var got versions
		stdout, _, err := run(t, "version", "-o", format)
		if err != nil || decode([]byte(stdout), &got) != nil {
			t.Errorf("%s: got %q, %v", format, stdout, err)
			continue
		}
		if got.ClientVersion.GoVersion != runtime.Version() || got.ServerVersion.GitVersion != "v1.36.3" {
			t.Errorf("%s: got %+v", format, got)
		}
	}
	if _, _, err := run(t, "version", "-o", "wide"); err == nil || err.Error() != `--output is "wide": it must be yaml or json` {
		t.Errorf("wide: got %v", err)
	}
}

func TestVersionOfThisCommandIsPrintedWithoutAServer(t *testing.T) {
	server := newAPI(t)
	server.answers["/version"] = answer{http.StatusServiceUnavailable, "the store is away"}
	use(t, server.kubeconfig())
	stdout, _, err := run(t, "version")
	if !strings.HasPrefix(stdout, "Client Version: ") || err == nil || !strings.HasSuffix(err.Error(), "for its version: the store is away") {
		t.Errorf("got %q, %v", stdout, err)
	}
}
