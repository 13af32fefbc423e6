package app

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

var update = flag.Bool("update", false, "write the golden files")

// called returns what the command prints, and the error.
func called(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := NewCommand()
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestHelp(t *testing.T) {
	for file, args := range map[string][]string{"help.txt": {"--help"}, "help-list.txt": {"list", "--help"}, "help-release.txt": {"release", "--help"}} {
		got, err := called(t, "", args...)
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join("testdata", file)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got), write with -update:\n%s", file, diff)
		}
	}
}

// kept returns the directory of a book with three reservations.
func kept(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	pages, err := book.In(dir).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	ips := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}
	pages.Reservations = []book.Reservation{
		{Network: "cbr0", Interface: "eth0", UID: "u-1", Namespace: "shop", Name: "web-0", Addresses: ips, Boot: book.Boot()},
		{Network: "cbr0", Interface: "eth0", UID: "u-2", Namespace: "shop", Name: "web-1", Addresses: ips[:1]},
		{Network: "cbr0", Interface: "eth0", Sandbox: "plain", Addresses: ips[1:], Boot: book.Boot()},
	}
	if err := pages.Save(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestListAndRelease(t *testing.T) {
	dir := kept(t)
	for _, step := range []struct{ in, line, want string }{
		{"", "list", `NETWORK   INTERFACE   POD          UID   ADDRESSES          STATE
cbr0      eth0        shop/web-0   u-1   10.0.0.2,fd00::2   used
cbr0      eth0        shop/web-1   u-2   10.0.0.2           kept
cbr0      eth0        -            -     fd00::2            used
`},
		{"", "release shop/web-0", "shop/web-0 (u-1): 10.0.0.2,fd00::2\n"},
		{"", "release shop/web-0", "No pod was found to be gone that was not known to be\n"},
		{"", "release shop/web-1", "shop/web-1 (u-2): 10.0.0.2\n"},
		{"", "list", `NETWORK   INTERFACE   POD          UID   ADDRESSES          STATE
cbr0      eth0        shop/web-0   u-1   10.0.0.2,fd00::2   used, gone
cbr0      eth0        shop/web-1   u-2   10.0.0.2           gone
cbr0      eth0        -            -     fd00::2            used
`},
		{`{"kind":"List","items":[{"kind":"Pod","metadata":{"uid":"u-1"}}]}`, "release --pods -", "No pod was found to be gone that was not known to be\n"},
		{`{"kind":"List","items":[{"kind":"Pod","metadata":{"uid":"u-2"}}]}`, "release --pods -", "shop/web-0 (u-1): 10.0.0.2,fd00::2\n"},
	} {
		got, err := called(t, step.in, append(strings.Fields(step.line), "--state-dir", dir)...)
		if err != nil {
			t.Fatalf("%s: %v", step.line, err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.line, diff)
		}
	}
	if got, err := called(t, "", "list", "--output", "json", "--state-dir", t.TempDir()); err != nil || got != "[]\n" {
		t.Errorf("an empty book: got %q, %v", got, err)
	}
}

func TestAWrongCommandLineIsASentence(t *testing.T) {
	for line, want := range map[string]string{
		"release":                    "NAMESPACE/NAME of a pod is needed, or --pods FILE, and not both",
		"release a/b --pods -":       "NAMESPACE/NAME of a pod is needed, or --pods FILE, and not both",
		"release web-0":              `"web-0": NAMESPACE/NAME of a pod is needed`,
		"release --pods -":           "--pods -: read a list of pods: unexpected end of JSON input",
		"release --pods /nowhere":    "open /nowhere: no such file or directory",
		"list --output yaml":         `--output "yaml": table and json are allowed`,
		"lst":                        `"lst" is no command of koinon-ipam: did you mean list? See koinon-ipam --help`,
		"list --state-dir=/dev/zero": "read what is kept for pods: open /dev/zero/reservations: not a directory",
	} {
		if _, err := called(t, "", strings.Fields(line)...); err == nil || err.Error() != want {
			t.Errorf("koinon-ipam %s: got %v, want %q", line, err, want)
		}
	}
}
