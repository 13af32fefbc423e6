// Package customresource_test compares Koinon with a real kube-apiserver that has custom
// resources.
//
// It writes the same JSON to a resource without a schema, and to Koinon as a template and as an
// override's value: what the one refuses the other refuses, and what both take they give back
// alike. And it writes FederatedDeployments by several managers to both, with the schema that
// Koinon publishes: both answer the same, and the same managers own the same fields.
package customresource_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	sharedCluster = testbed.SharedCluster(testbed.ClusterOptions{Name: "custom"})
	sharedKoinon  = testbed.SharedKoinon(func() (testbed.KoinonOptions, error) {
		return testbed.KoinonOptions{Args: []string{"--components=apiserver"}}, nil
	})
)

const (
	// seedVariable repeats a run.
	seedVariable = "KOINON_TEST_SEED"
	// patience is no assertion about speed: the machine may be busy.
	patience = time.Minute
	values   = 250
)

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// The kind has no schema here: its definition is in the other server.
const typeConfig = `
apiVersion: core.kubefed.io/v1beta1
kind: FederatedTypeConfig
metadata: {name: things.example.com, namespace: kube-federation-system}
spec:
  targetType: {group: example.com, version: v1, kind: Thing, pluralName: things, scope: Namespaced}
  federatedType: {group: types.kubefed.io, version: v1beta1, kind: FederatedThing, pluralName: federatedthings, scope: Namespaced}
  propagation: Enabled
`

// corners are values that have been trouble, here or elsewhere.
var corners = []string{
	`1e400`, `-1e400`, `1e-400`, `-1e-400`, `-0`, `-0.0`, `0.0`, `1.0`, `1e3`, `1E3`, `1e+3`, `100e-2`, `1.50`, `1e21`, `1e20`, `123456789e-14`, `1e-7`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `-9223372036854775809`, `18446744073709551615`, `12345678901234567890`,
	`9007199254740993`, `9007199254740993.0`, `1152921504606846976.0`, `0.1`, `0.30000000000000004`, `1.7976931348623157e308`, `1.7976931348623159e308`, `5e-324`, `2e-324`,
	strings.Repeat("9", 308), strings.Repeat("9", 309), strings.Repeat("7", 5000), `-` + strings.Repeat("7", 5000), `0.` + strings.Repeat("3", 5000),
	`01`, `+1`, `.5`, `5.`, `1e`, `0x10`, `NaN`, `Infinity`, `nul`, `True`,
	`""`, `"\u0000"`, "\"\x00\"", "\"\x01\"", `"\u001f"`, "\"\xff\"", "\"\xc3\x28\"", "\"\xed\xa0\x80\"", `"\ud800"`, `"\ude00"`, `"\ud83d\ude00"`, `"\ud83dx"`, `"\ud83d\ud83d\ude00"`,
	`"\x41"`, `"\u12"`, `"<&>"`, `"\u2028"`, "\"\u2028\"", `"\/"`, `"a` + "\n" + `b"`,
	`null`, `{}`, `[]`, `[null]`, `{"":1}`, `{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2}}`, `{"a":1,"\u0061":2}`, `{"\u0000":1}`, "{\"\xff\":1}", `{"\ud800":1}`, `{"a":}`, `[1,]`, `{,}`,
	nested(100), nested(120), nested(9000), nested(12000), strings.Repeat("[", 50) + strings.Repeat("]", 49),
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// generate makes a value out of corners, most of which can be read.
func generate(r *rand.Rand, depth int) string {
	switch n := r.IntN(10); {
	case depth == 0 || n < 4:
		return corners[r.IntN(len(corners))]
	case n < 6:
		return strconv.FormatFloat(r.NormFloat64(), 'g', r.IntN(20)+1, 64) + []string{"", "e5", "e-9", "0"}[r.IntN(4)]
	case n < 8:
		var items []string
		for range r.IntN(4) {
			items = append(items, generate(r, depth-1))
		}
		return "[" + strings.Join(items, " , ") + "]"
	default:
		var fields []string
		for i := range r.IntN(4) {
			fields = append(fields, fmt.Sprintf("%q : %s", "k"+strconv.Itoa(r.IntN(3)+i), generate(r, depth-1)))
		}
		return "{" + strings.Join(fields, ",") + "}"
	}
}

// server is one of the two, and how objects are written there.
type server struct {
	client rest.Interface
	path   string
	body   func(name, value string) string
	// read takes the value out of an answer.
	read func(t *testing.T, body []byte) any
}

// answer is how a server took a value.
type answer struct {
	code    int
	message string
	value   any // as it is read afterwards; numbers are json.Number
}

func (s server) write(t *testing.T, name, value string) answer {
	t.Helper()
	var a answer
	result := s.client.Post().AbsPath(s.path).SetHeader("Content-Type", "application/json").Param("fieldValidation", "Ignore").
		Body([]byte(s.body(name, value))).Do(t.Context())
	result.StatusCode(&a.code)
	if err := result.Error(); err != nil {
		a.message = err.Error()
		return a
	}
	body, err := s.client.Get().AbsPath(s.path, name).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("read back %.200s: %v", value, err)
	}
	a.value = s.read(t, body)
	if err := s.client.Delete().AbsPath(s.path, name).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	return a
}

// decode reads JSON with the digits that are written.
func decode(t *testing.T, body []byte) (out struct {
	Spec struct {
		Value    any
		Template struct {
			Spec struct{ Value any }
		}
		Overrides []struct {
			TopologyOverrides []struct{ Value json.RawMessage }
		}
	}
}) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("no client can read %.200s: %v", body, err)
	}
	return out
}

// seedFrom returns the seed of a run: a new one, unless the environment has one.
func seedFrom(t *testing.T) uint64 {
	t.Helper()
	fixed := os.Getenv(seedVariable)
	if fixed == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(fixed, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func TestTemplatesAndValuesAreTakenAsCustomResourcesAre(t *testing.T) {
	seed := seedFrom(t)
	t.Logf("repeat this run with %s=%d", seedVariable, seed)
	kubernetesServer, templates, overrides := servers(t)
	r := rand.New(rand.NewPCG(seed, 0))
	taken := 0
	for i := range len(corners) + values {
		value := ""
		if i < len(corners) {
			value = corners[i]
		} else {
			value = generate(r, 3)
		}
		name := "thing-" + strconv.Itoa(i)
		want := kubernetesServer.write(t, name, value)
		if want.code < 400 {
			taken++
		}
		for what, s := range map[string]server{"template": templates, "override": overrides} {
			compare(t, what, value, want, s.write(t, what+"-"+name, value))
		}
	}
	if taken == 0 {
		t.Error("kube-apiserver took no value: nothing that is given back was compared")
	}
}

func compare(t *testing.T, what, value string, want, got answer) {
	t.Helper()
	switch {
	case want.code >= 400:
		if got.code < 400 || got.code >= 500 {
			t.Errorf("%s %.100q: kube-apiserver refuses it (%d %.200s), Koinon says %d", what, value, want.code, want.message, got.code)
		}
	case got.code >= 400:
		// Both are decisions: half characters are lost, and deep values are refused where
		// clients cannot read them.
		if got.code != 422 || !strings.Contains(got.message, "half of a surrogate pair") && !strings.Contains(got.message, "objects and arrays around one another") {
			t.Errorf("%s %.100q: kube-apiserver takes it, Koinon says %d %.300s", what, value, got.code, got.message)
		}
	default:
		wanted, _ := json.Marshal(want.value)
		gotten, _ := json.Marshal(got.value)
		if string(wanted) != string(gotten) {
			t.Errorf("%s %.100q: kube-apiserver gives back %.200s, Koinon %.200s", what, value, wanted, gotten)
		}
	}
}

// servers starts both and returns three ways to write a value.
func servers(t *testing.T) (custom, templates, overrides server) {
	t.Helper()
	cluster, koinon := sharedCluster.Get(t), sharedKoinon.Get(t)
	testbed.KubectlStdin(t, cluster.Kubeconfig(), definition, "apply", "-f", "-")
	testbed.Kubectl(t, cluster.Kubeconfig(), "wait", "crd/things.example.com", "--for=condition=Established", "--timeout=60s")
	testbed.KubectlStdin(t, koinon.Kubeconfig(), typeConfig, "apply", "-f", "-")

	custom = server{client: client(t, cluster.RESTConfig(t)), path: "/apis/example.com/v1/namespaces/default/things",
		body: func(name, value string) string {
			return fmt.Sprintf(`{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":%q},"spec":{"value":%s}}`, name, value)
		},
		read: func(t *testing.T, body []byte) any { return decode(t, body).Spec.Value }}
	federated := func(name, spec string) string {
		return fmt.Sprintf(`{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedThing","metadata":{"name":%q},"spec":{%s}}`, name, spec)
	}
	path := "/apis/types.kubefed.io/v1beta2/namespaces/default/federatedthings"
	templates = server{client: client(t, koinon.RESTConfig(t)), path: path,
		body: func(name, value string) string { return federated(name, `"template":{"spec":{"value":`+value+`}}`) },
		read: func(t *testing.T, body []byte) any { return decode(t, body).Spec.Template.Spec.Value }}
	overrides = server{client: templates.client, path: path,
		body: func(name, value string) string {
			return federated(name, `"template":{},"overrides":[{"topologyName":"m1","topologyOverrides":[{"path":"/spec","value":{"value":`+value+`}}]}]`)
		},
		read: func(t *testing.T, body []byte) any {
			return decode(t, append(append([]byte(`{"spec":`), decode(t, body).Spec.Overrides[0].TopologyOverrides[0].Value...), '}')).Spec.Value
		}}
	waitServed(t, custom.client, custom.path)
	waitServed(t, templates.client, templates.path)
	return custom, templates, overrides
}

// waitServed waits until a list of a path is answered.
func waitServed(t *testing.T, c rest.Interface, path string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		return c.Get().AbsPath(path).Do(ctx).Error() == nil, nil
	})
	if err != nil {
		t.Fatalf("%s is not served: %v", path, err)
	}
}

func client(t *testing.T, config *rest.Config) rest.Interface {
	t.Helper()
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clients.Discovery().RESTClient()
}
