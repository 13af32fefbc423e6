package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// fakeFleet answers GETs by path, with what a handler of it says.
type fakeFleet struct {
	*testing.T
	server *httptest.Server

	mu       sync.Mutex                  // guards what follows
	handlers map[string]http.HandlerFunc // by path
	asked    []string                    // URLs without the host
}

// newFakeFleet has the types of members for the fleet, the members m1 and m2, and the cell rz00a, and a kubeconfig for it.
func newFakeFleet(t *testing.T) *fakeFleet {
	t.Helper()
	f := &fakeFleet{T: t, handlers: map[string]http.HandlerFunc{}}
	f.server = httptest.NewTLSServer(f)
	t.Cleanup(f.server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["koinon"] = &clientcmdapi.Cluster{Server: f.server.URL, CertificateAuthorityData: pemOf(f.server.Certificate().Raw)}
	config.AuthInfos["jane"] = &clientcmdapi.AuthInfo{Token: "t0ken"}
	config.Contexts["koinon"] = &clientcmdapi.Context{Cluster: "koinon", AuthInfo: "jane", Namespace: "shop"}
	config.CurrentContext = "koinon"
	file := t.TempDir() + "/config"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)

	f.put(groupPath, `{groupVersion: federation.koinon.io/v1alpha1, resources: [{name: clusters/proxy}, {name: cells/proxy}, {name: fleets/proxy}]}`)
	f.put(groupPath+"/clusters/m1", `{metadata: {name: m1}}`)
	f.put(groupPath+"/clusters/m2", `{metadata: {name: m2}}`)
	cell := `{metadata: {name: rz00a, namespace: shop}, spec: {clusterName: m1}, status: {conditions: [{type: Ready, status: "True"}]}}`
	f.put(groupPath+"/namespaces/shop/cells/rz00a", cell)
	f.put(groupPath+"/cells", `{items: [`+cell+`, {metadata: {name: rz01a, namespace: shop}, spec: {clusterName: m2, memberNamespace: other}}]}`)
	for _, proxy := range []string{fakeAll, fakeM1, fakeM2, fakeCell} {
		f.put(proxy+"/api", `{kind: APIVersions, versions: [v1]}`)
		f.put(proxy+"/apis", `{kind: APIGroupList, groups: [{name: apps, versions: [{groupVersion: apps/v1, version: v1}], preferredVersion: {groupVersion: apps/v1, version: v1}}]}`)
		f.put(proxy+"/api/v1", `{kind: APIResourceList, groupVersion: v1, resources: [
			{name: namespaces, singularName: namespace, namespaced: false, kind: Namespace, verbs: [get, list, watch], shortNames: [ns]}]}`)
		f.put(proxy+"/apis/apps/v1", `{kind: APIResourceList, groupVersion: apps/v1, resources: [
			{name: deployments, singularName: deployment, namespaced: true, kind: Deployment, verbs: [get, list, watch], shortNames: [deploy]}]}`)
	}
	return f
}

const (
	fakeProxies     = "/apis/federation.koinon.io/v1alpha1/"
	fakeAll         = fakeProxies + "fleets/all/proxy"
	fakeM1, fakeM2  = fakeProxies + "clusters/m1/proxy", fakeProxies + "clusters/m2/proxy"
	fakeCell        = fakeProxies + "namespaces/shop/cells/rz00a/proxy"
	fakeDeployments = "/apis/apps/v1/deployments"
	fakeOfShop      = "/apis/apps/v1/namespaces/shop/deployments"
)

func (f *fakeFleet) handle(path string, handler http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handlers[path] = handler
}

// put answers with a manifest, and with warnings.
func (f *fakeFleet) put(path, manifest string, warnings ...string) {
	f.Helper()
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		f.Fatalf("%v in %s", err, manifest)
	}
	f.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		for _, warning := range warnings {
			w.Header().Add("Warning", fmt.Sprintf("299 - %q", warning))
		}
		_, _ = w.Write(data)
	})
}

func (f *fakeFleet) refuse(path string, code int, message string) {
	f.handle(path, func(w http.ResponseWriter, _ *http.Request) { fail(w, answer{code, message}) })
}

func (f *fakeFleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	handler := f.handlers[r.URL.Path]
	f.asked = append(f.asked, r.URL.RequestURI())
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if handler == nil {
		fail(w, answer{http.StatusNotFound, "the server could not find the requested resource"})
		return
	}
	handler(w, r)
}

func (f *fakeFleet) wasAsked(part string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(strings.Join(f.asked, "\n"), part)
}

// said is what a command line says, with its exit code.
func (f *fakeFleet) said(args ...string) string {
	f.Helper()
	stdout, stderr, err := run(f.T, args...)
	text := "$ kubectl koinon " + strings.Join(args, " ") + "\n" + stdout
	for line := range strings.Lines(stderr) {
		text += "stderr: " + line
	}
	if err != nil && err.Error() != "" {
		text += "error: " + err.Error() + "\n"
	}
	return strings.ReplaceAll(text, f.server.URL, "https://SERVER") + fmt.Sprintf("exit code %d\n", ExitCode(err))
}

const (
	fakeColumns   = `{name: Name, type: string, format: name}, `
	fakeMore      = `{name: Ready, type: string}, {name: Age, type: string}, {name: Images, type: string, priority: 1}`
	fakeWhole     = `{metadata: {name: web, namespace: shop-rz00a, annotations: {federation.koinon.io/cluster: m1}}, spec: {replicas: 2}}`
	fakeWholeToo  = `{metadata: {name: web, namespace: shop, annotations: {federation.koinon.io/cluster: m2}}, spec: {replicas: 3}}`
	fakeBegin     = `{kind: Table, apiVersion: meta.k8s.io/v1, metadata: {resourceVersion: "77"}, columnDefinitions: [`
	fakeFleetRows = fakeBegin + fakeColumns + `{name: Cluster, type: string}, ` + fakeMore + `], rows: [
		{cells: [web, m1, 2/2, 5m, "web:1"], object: {metadata: {name: web, namespace: shop-rz00a, annotations: {federation.koinon.io/cluster: m1}}}},
		{cells: [web, m2, 1/3, 5m, "web:1"], object: {metadata: {name: web, namespace: other, annotations: {federation.koinon.io/cluster: m2}}}},
		{cells: [api, m2, 1/1, 2d, "api:1\nsecond"], object: {metadata: {name: api, namespace: shop, annotations: {federation.koinon.io/cluster: m2}}}}]}`
	fakeMemberRows = fakeBegin + fakeColumns + fakeMore + `], rows: [
		{cells: [web, 2/2, 5m, "web:1"], object: {metadata: {name: web, namespace: shop}}}]}`
	fakeNoRows = fakeBegin + fakeColumns + fakeMore + `], rows: []}`
	fakeAway   = "cluster m3 is missing in this answer: it did not answer within 5s"
)

func TestGet(t *testing.T) {
	for name, c := range map[string]struct {
		args  string
		given func(*fakeFleet)
		asked string // part of a URL
	}{
		"all":                 {"get deployments -A", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, fakeFleetRows) }, ""},
		"short":               {"get deploy -n other", func(f *fakeFleet) { f.put(fakeAll+"/apis/apps/v1/namespaces/other/deployments", fakeFleetRows) }, ""},
		"wide":                {"get Deployment.apps -A -o wide", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, fakeFleetRows) }, ""},
		"missing":             {"get deploy -A", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, fakeFleetRows, fakeAway) }, ""},
		"selectors":           {"get deploy -A -l app=web --field-selector metadata.namespace!=x", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, fakeFleetRows) }, "fieldSelector=metadata.namespace%21%3Dx&labelSelector=app%3Dweb"},
		"one name":            {"get deploy web -n shop", func(f *fakeFleet) { f.put(fakeAll+fakeOfShop, fakeFleetRows) }, "fieldSelector=metadata.name%3Dweb"},
		"one name everywhere": {"get deploy web -A", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, fakeFleetRows) }, "fieldSelector=metadata.name%3Dweb"},
		"nobody":              {"get deploy nope", func(f *fakeFleet) { f.put(fakeAll+fakeOfShop, fakeNoRows) }, ""},
		"nobody who answered": {"get deploy nope", func(f *fakeFleet) { f.put(fakeAll+fakeOfShop, fakeNoRows, fakeAway) }, ""},
		"none":                {"get deploy", func(f *fakeFleet) { f.put(fakeAll+fakeOfShop, fakeNoRows) }, ""},
		"no such type":        {"get frobs", func(*fakeFleet) {}, ""},
		"refused by all": {"get deploy", func(f *fakeFleet) {
			f.refuse(fakeAll+fakeOfShop, http.StatusForbidden, "no cluster answered with deployments.apps: m1: forbidden; m2: forbidden")
		}, ""},
		"no fleet": {"get deploy", func(f *fakeFleet) { f.put(groupPath, `{resources: [{name: clusters/proxy}]}`) }, ""},
		"cells hidden": {"get deploy -A", func(f *fakeFleet) {
			f.refuse(groupPath+"/cells", http.StatusForbidden, `cells is forbidden: User "jane" cannot list cells`)
			f.put(fakeAll+fakeDeployments, fakeFleetRows)
		}, ""},
		"json":       {"get deploy -A -o json", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, `{items: [`+fakeWhole+`, `+fakeWholeToo+`]}`) }, ""},
		"yaml":       {"get deploy -A -o yaml", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, `{items: [`+fakeWhole+`, `+fakeWholeToo+`]}`) }, ""},
		"json empty": {"get deploy -A -o json", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, `{items: null}`) }, ""},
		"name":       {"get deploy -A -o name", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, `{items: [`+fakeWhole+`, `+fakeWholeToo+`]}`) }, ""},
		"namespaces": {"get ns", func(f *fakeFleet) {
			f.put(fakeAll+"/api/v1/namespaces", fakeBegin+fakeColumns+`{name: Cluster}], rows: [
				{cells: [shop-rz00a, m1], object: {metadata: {name: shop-rz00a, annotations: {federation.koinon.io/cluster: m1}}}},
				{cells: [shop-rz00a, m2], object: {metadata: {name: shop-rz00a, annotations: {federation.koinon.io/cluster: m2}}}}]}`)
		}, ""},
		"no tables": {"get deploy -A", func(f *fakeFleet) { f.put(fakeAll+fakeDeployments, `{items: [`+fakeWhole+`]}`) }, ""},
		"clusters": {"get deploy --cluster m1,m2", func(f *fakeFleet) {
			f.put(fakeM1+fakeOfShop, fakeMemberRows)
			f.refuse(fakeM2+fakeOfShop, http.StatusServiceUnavailable, `cluster "m2" does not answer`)
		}, ""},
		"clusters of which one lacks the type": {"get deploy --cluster m1,m2", func(f *fakeFleet) {
			f.put(fakeM1+fakeOfShop, fakeMemberRows)
			f.put(fakeM2+"/apis", `{kind: APIGroupList, groups: []}`)
		}, ""},
		"clusters that are down": {"get deploy --cluster m1,m2", func(f *fakeFleet) {
			for _, down := range []string{fakeM1, fakeM2} {
				f.refuse(down+"/api", http.StatusServiceUnavailable, "nobody answers")
				f.refuse(down+"/apis", http.StatusServiceUnavailable, "nobody answers")
			}
		}, ""},
		"no such cluster": {"get deploy --cluster m9", func(f *fakeFleet) {
			f.put(groupPath+"/clusters", `{items: [{metadata: {name: m1}}, {metadata: {name: m2}}]}`)
		}, ""},
		"cell": {"get deploy --cell rz00a", func(f *fakeFleet) { f.put(fakeCell+fakeOfShop, fakeMemberRows) }, ""},
		"cut": {"get deploy -A -o json", func(f *fakeFleet) {
			f.handle(fakeAll+fakeDeployments, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"kind":"List","items":[{"metadata":{"name":"web"}},`)
			})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeFleet(t)
			c.given(f)
			golden(t, "get/"+strings.ReplaceAll(name, " ", "-"), f.said(strings.Fields(c.args)...))
			if !f.wasAsked(c.asked) {
				t.Errorf("asked %v, want %s", f.asked, c.asked)
			}
			if strings.Contains(c.args, "--cluster") && f.wasAsked(fakeAll) {
				t.Error("all members were asked about one")
			}
		})
	}
}

func TestWatchShowsWhatIsThereAndThenWhatChanges(t *testing.T) {
	for output, want := range map[string]string{
		"table": `NAME   CLUSTER   CELL         READY   AGE
web    m1        shop/rz00a   2/2     5m
web    m2        shop/rz01a   1/3     5m
api    m2                     1/1     2d
new    m2                     0/1     0s
`,
		"name": "m1/deployment.apps/web\nm2/deployment.apps/new\n",
	} {
		t.Run(output, func(t *testing.T) {
			f := newFakeFleet(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.handle(fakeAll+fakeOfShop, func(w http.ResponseWriter, r *http.Request) {
				table := strings.Contains(r.Header.Get("Accept"), "as=Table")
				object := `{"kind":"PartialObjectMetadata","metadata":{"name":"new","namespace":"shop","annotations":{"federation.koinon.io/cluster":"m2"}}}`
				switch q := r.URL.Query(); {
				case q.Get("watch") == "" && table:
					data, _ := yaml.YAMLToJSON([]byte(fakeFleetRows))
					_, _ = w.Write(data)
				case q.Get("watch") == "":
					data, _ := yaml.YAMLToJSON([]byte(`{metadata: {resourceVersion: "77"}, items: [` + fakeWhole + `]}`))
					_, _ = w.Write(data)
				case q.Get("resourceVersion") == "77":
					event := object
					if table {
						event = `{"kind":"Table","columnDefinitions":[{"name":"Name","format":"name"},{"name":"Cluster"},{"name":"Ready"},{"name":"Age"}],"rows":[{"cells":["new","m2","0/1","0s"],"object":` + object + `}]}`
					}
					_, _ = io.WriteString(w, `{"type":"ADDED","object":`+event+`}`+"\n"+
						`{"type":"BOOKMARK","object":{"kind":"Deployment","metadata":{"resourceVersion":"80"}}}`+"\n")
				case q.Get("resourceVersion") == "80":
					cancel() // the watch went on from the bookmark
					<-r.Context().Done()
				default:
					fail(w, answer{http.StatusBadRequest, "at " + q.Get("resourceVersion")})
				}
			})
			var out, errOut bytes.Buffer
			cmd := NewCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
			cmd.SetArgs([]string{"get", "deploy", "--watch", "-o", output})
			if err := cmd.ExecuteContext(ctx); err != nil {
				t.Fatalf("%v: %s", err, errOut.String())
			}
			if out.String() != want {
				t.Errorf("it said\n%s, want\n%s", out.String(), want)
			}
		})
	}
}

func TestAWatchThatExpiredListsAnew(t *testing.T) {
	f := newFakeFleet(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lists := 0
	f.handle(fakeAll+fakeOfShop, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			if lists == 2 {
				cancel()
			}
			_, _ = io.WriteString(w, `{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}}`+"\n")
			return
		}
		lists++
		_, _ = fmt.Fprintf(w, `{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"web%d","annotations":{"federation.koinon.io/cluster":"m1"}}}]}`, lists)
	})
	var out, errOut bytes.Buffer
	cmd := NewCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
	cmd.SetArgs([]string{"get", "deploy", "--watch", "-o", "name"})
	if err := cmd.ExecuteContext(ctx); err != nil {
		t.Fatalf("%v: %s", err, errOut.String())
	}
	if want := "m1/deployment.apps/web1\nm1/deployment.apps/web2\n"; out.String() != want || !strings.Contains(errOut.String(), "the watch of the fleet expired") {
		t.Errorf("it said %q and %q, want %q", out.String(), errOut.String(), want)
	}
}

func TestColumnsKeepTheirWidthOverManyRows(t *testing.T) {
	f := newFakeFleet(t)
	var rows strings.Builder
	for i := range 2*rowsKept + 1 {
		fmt.Fprintf(&rows, `{cells: [web%d, m1], object: {metadata: {name: web%d, annotations: {federation.koinon.io/cluster: m1}}}}, `, i, i)
	}
	f.put(fakeAll+fakeOfShop, fakeBegin+fakeColumns+`{name: Cluster}], rows: [`+rows.String()+`]}`)
	stdout, stderr, err := run(t, "get", "deploy")
	if lines := strings.Split(stdout, "\n"); err != nil || len(lines) != 2*rowsKept+3 || lines[0] != "NAME     CLUSTER   CELL" || lines[rowsKept+5] != "web504   m1" {
		t.Errorf("%v, %s: %d lines, %q and %q", err, stderr, len(lines), lines[0], lines[min(len(lines)-1, rowsKept+5)])
	}
}

func TestWhatGetCannotDoIsASentence(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "one type is needed"},
		{"deploy,svc", `"deploy,svc" is no object: it must be one TYPE, or TYPE NAME`},
		{"deploy web -l a=b", "-l and --field-selector are for one TYPE without a name"},
		{"deploy --cell x --cluster m1", "--cell and --cluster exclude each other"},
		{"deploy --cell x -A", "--cell and -A exclude each other"},
		{"deploy --cell rz09z", `there is no cell "rz09z" of namespace "shop"`},
		{"deploy -o csv", `--output is "csv": it must be table, wide, json, yaml or name`},
	} {
		newFakeFleet(t)
		if _, _, err := run(t, append([]string{"get"}, strings.Fields(c.args)...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestWhatAMemberSaysIsNoCommandToATerminal(t *testing.T) {
	f := newFakeFleet(t)
	f.put(fakeAll+fakeOfShop, fakeBegin+fakeColumns+`{name: Cluster}, {name: Note}], rows: [
		{cells: [web, m1, "red\u001b[31m"], object: {metadata: {name: web, annotations: {federation.koinon.io/cluster: m1}}}}]}`)
	if stdout, _, err := run(t, "get", "deploy"); err != nil || strings.Contains(stdout, "\x1b") || !strings.Contains(stdout, "red?[31m") {
		t.Errorf("%v: %q", err, stdout)
	}
}
