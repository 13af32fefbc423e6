package edgehub_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/edgehub/table"
	"github.com/koinon-io/koinon/test/testbed"
)

// tabled is how many random objects there are of a kind, and how many pods; ten times as many if KOINON_LONG is set.
const tabled, tabledPods = 6, 60

// otherTables are resources for which kube-apiserver has columns that package table has not: it shows their names and ages.
var otherTables = []string{
	"admissionregistration.k8s.io/v1/mutatingadmissionpolicies", "admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
	"admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "admissionregistration.k8s.io/v1/validatingadmissionpolicies",
	"admissionregistration.k8s.io/v1/validatingadmissionpolicybindings", "admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
	"apiregistration.k8s.io/v1/apiservices", "autoscaling/v1/horizontalpodautoscalers", "autoscaling/v2/horizontalpodautoscalers",
	"certificates.k8s.io/v1/certificatesigningrequests", "flowcontrol.apiserver.k8s.io/v1/flowschemas", "flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
	"networking.k8s.io/v1/ipaddresses", "policy/v1/poddisruptionbudgets",
	"resource.k8s.io/v1/deviceclasses", "resource.k8s.io/v1/resourceclaims", "resource.k8s.io/v1/resourceclaimtemplates", "resource.k8s.io/v1/resourceslices", "v1/componentstatuses",
}

// Columns and cells of random objects, and of all that a cluster has by itself, are those of the API server.
func TestTablesAreThoseOfTheAPIServer(t *testing.T) {
	seed := seedOf(t)
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	config := cluster.RESTConfig(t)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "pods can be made", func(ctx context.Context) error {
		_, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	cluster.Kill(t, testbed.ControllerManager) // nobody else writes
	define(t, client, widgets)
	fill(t, client.Resource(widgets.GroupVersionResource).Namespace("default"), widgets)
	random := &maker{t, client, seed}
	var making sync.WaitGroup
	for i, k := range tableKinds {
		making.Go(func() { random.all(uint64(i), k) })
	}
	making.Wait()
	if t.Failed() {
		return
	}
	knows, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := knows.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	direct := directly(t, cluster)
	var others []string
	for _, list := range lists {
		for _, r := range list.APIResources {
			version, err := schema.ParseGroupVersion(list.GroupVersion)
			if err != nil {
				t.Fatal(err)
			}
			switch resource := version.WithResource(r.Name); {
			case !slices.Contains(r.Verbs, "list"):
			case slices.Contains(otherTables, list.GroupVersion+"/"+r.Name):
				others = append(others, r.Name)
			default:
				t.Run(r.Name+"."+version.Group, func(t *testing.T) { direct.tabled(t, resource) })
			}
		}
	}
	t.Logf("not compared: %v", others)
}

// tabled compares all objects of a resource.
func (r *reader) tabled(t *testing.T, resource schema.GroupVersionResource) {
	t.Helper()
	at := (&kind{GroupVersionResource: resource}).path("")
	var list struct {
		Metadata metav1.ListMeta
		Items    []json.RawMessage
	}
	r.decode(t, at, "application/json", &list)
	var want metav1.Table
	before := time.Now()
	r.decode(t, at+"?resourceVersionMatch=Exact&resourceVersion="+list.Metadata.ResourceVersion, "application/json;as=Table;v=v1;g=meta.k8s.io", &want)
	after := time.Now()
	got := table.Of(resource.Group, resource.Version, resource.Resource)
	if diff := gocmp.Diff(want.ColumnDefinitions, got.Columns()); diff != "" {
		t.Errorf("columns (-API server +ours):\n%s", diff)
	}
	if len(want.Rows) != len(list.Items) {
		t.Fatalf("%d rows of %d objects", len(want.Rows), len(list.Items))
	}
	for i, item := range list.Items {
		row, err := got.Row(item, before)
		if err != nil {
			t.Errorf("%v: %s", err, item)
			continue
		}
		cells := plainCells(t, row)
		for now := before.Add(time.Second); now.Before(after.Add(time.Second)); now = now.Add(time.Second) { // the API server's clock was in between
			later, err := got.Row(item, now)
			if err != nil {
				t.Fatal(err)
			}
			for c, cell := range plainCells(t, later) {
				if cell == want.Rows[i].Cells[c] {
					cells[c] = cell
				}
			}
		}
		if diff := gocmp.Diff(want.Rows[i].Cells, cells); diff != "" {
			t.Errorf("cells (-API server +ours):\n%s%s", diff, item)
		}
		if diff := gocmp.Diff(want.Rows[i].Conditions, row.Conditions); diff != "" {
			t.Errorf("conditions (-API server +ours):\n%s%s", diff, item)
		}
	}
}

func (r *reader) decode(t *testing.T, uri, accept string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v: %s", uri, response.StatusCode, err, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}

// plainCells are cells as whoever reads them gets them.
func plainCells(t *testing.T, row metav1.TableRow) (cells []any) {
	t.Helper()
	text, err := json.Marshal(row.Cells)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cells); err != nil {
		t.Fatal(err)
	}
	return cells
}

// maker makes random objects.
type maker struct {
	*testing.T
	client dynamic.Interface
	seed   uint64
}

// stays keeps what is deleted.
const stays = "example.org/stays"

// all makes all objects of a kind.
func (m *maker) all(stream uint64, k tableKind) {
	m.Helper()
	client := dynamic.ResourceInterface(m.client.Resource(k.GroupVersionResource))
	if !k.global {
		client = m.client.Resource(k.GroupVersionResource).Namespace(cmp.Or(k.namespace, "default"))
	}
	random := &dice{rand.New(rand.NewPCG(m.seed, stream))}
	count := tabled
	if k.Resource == "pods" {
		count = tabledPods
	}
	if long() {
		count *= 10
	}
	for i := range count {
		if err := m.one(client, k, random, i); err != nil {
			m.Errorf("%s: %v", k.Resource, err)
		}
	}
}

func (m *maker) one(client dynamic.ResourceInterface, k tableKind, random *dice, i int) error {
	o := &unstructured.Unstructured{Object: k.body(random, i)}
	o.SetAPIVersion(k.GroupVersion().String())
	o.SetKind(k.kind)
	o.SetName(fmt.Sprintf("%s%d", k.Resource+strings.ReplaceAll(k.Group, ".", ""), i))
	deleted := k.deleted && random.chance(3)
	if deleted {
		o.SetFinalizers([]string{stays})
	}
	made, err := client.Create(m.Context(), o, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make %v: %w", o.Object, err)
	}
	if k.status != nil {
		status := k.status(random, made.Object)
		before, _ := made.Object["status"].(map[string]any)
		made.Object["status"] = merged(before, status)
		if _, err := client.UpdateStatus(m.Context(), made, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("status %v of %v: %w", status, o.Object, err)
		}
	}
	if deleted {
		return client.Delete(m.Context(), o.GetName(), metav1.DeleteOptions{})
	}
	return nil
}

func merged(of ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, one := range of {
		maps.Copy(all, one)
	}
	return all
}
