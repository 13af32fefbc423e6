package render

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

const (
	benchTargets  = 1000
	benchTemplate = `{"metadata":{"labels":{"app":"web","tier":"front"}},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"registry.example.com/web:1.2.3","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"ports":[{"containerPort":8080}],"resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}}},{"name":"log","image":"registry.example.com/log:9","args":["--a","--b"]}]}}}}`
)

// benchObjects are what the targets are rendered of.
func benchObjects() map[string]request {
	plain, named, selected := input(benchTemplate), input(benchTemplate), input(benchTemplate)
	large := input(`{"data":{"a":"` + strings.Repeat("x", 500_000) + `"}}`)
	wide := input(`{"data":{` + manyKeys(10_000) + `}}`)
	for i := range benchTargets {
		name, value := fmt.Sprintf("t%d", i), fmt.Sprint(i)
		named.Overrides = append(named.Overrides, forTarget(name, patch("", "/spec/replicas", value)))
		large.Overrides = append(large.Overrides, forTarget(name, patch("add", "/data/b", `"`+value+`"`)))
		wide.Overrides = append(wide.Overrides, forTarget(name, patch("add", "/data/b", `"`+value+`"`)))
	}
	for i := range 10 {
		selected.Overrides = append(selected.Overrides, v1beta2.Override{
			TopologySelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"zone": fmt.Sprint(i)}},
			TopologyOverrides: []v1beta2.OverridePatch{patch("", "/spec/replicas", fmt.Sprint(i))},
		})
	}
	return map[string]request{"no overrides": plain, "an override each": named, "ten selectors": selected,
		"500 kB and an override each": large, "10,000 keys and an override each": wide}
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"k%05d":"v"`, i)
	}
	return strings.Join(keys, ",")
}

func benchTarget(i int) Target {
	return Target{
		Name: fmt.Sprintf("t%d", i), Labels: map[string]string{"zone": fmt.Sprint(i % 20), "tier": "a"},
		ObjectName: "web", Namespace: fmt.Sprintf("shop-t%d", i),
	}
}

func benchAll(b *testing.B, base *Base, targets []Target, use func(*Manifest)) {
	b.Helper()
	for _, target := range targets {
		m, err := base.For(b.Context(), target)
		if err != nil {
			b.Fatal(err)
		}
		use(m)
	}
}

// BenchmarkTargets is a thousand targets of an object: the first time after a change with
// Compile, again as at every sync, and the objects to send.
func BenchmarkTargets(b *testing.B) {
	targets := make([]Target, benchTargets)
	for i := range targets {
		targets[i] = benchTarget(i)
	}
	for name, in := range benchObjects() {
		compiled := func(b *testing.B) *Base {
			base, err := Compile(b.Context(), in.Spec)
			if err != nil {
				b.Fatal(err)
			}
			return base
		}
		b.Run(name+"/first", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				benchAll(b, compiled(b), targets, func(*Manifest) {})
			}
		})
		b.Run(name+"/again", func(b *testing.B) {
			b.ReportAllocs()
			base := compiled(b)
			benchAll(b, base, targets, func(*Manifest) {})
			for b.Loop() {
				benchAll(b, base, targets, func(*Manifest) {})
			}
			b.ReportMetric(float64(base.SizeBytes()), "base-bytes")
		})
		b.Run(name+"/objects", func(b *testing.B) {
			b.ReportAllocs()
			base := compiled(b)
			for b.Loop() {
				benchAll(b, base, targets, func(m *Manifest) { m.Object() })
			}
		})
	}
}

// BenchmarkHostile is objects whose author means harm, the first time that they are rendered.
func BenchmarkHostile(b *testing.B) {
	front := input(`{"list":[` + strings.Repeat("0,", 300_000) + `0]}`)
	var patches []v1beta2.OverridePatch
	for range 16_000 {
		patches = append(patches, patch("add", "/list/0", "1"))
	}
	front.Overrides = []v1beta2.Override{forTarget("rz00a", append(patches, patch("remove", "/none", ""))...)}
	selectors := input(`{}`)
	for i := range 16_000 {
		selectors.Overrides = append(selectors.Overrides, v1beta2.Override{TopologySelector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"a", fmt.Sprint(i)}}},
		}})
	}
	for name, in := range map[string]request{
		"1,000 patches, the last fails":                       failing(1000),
		"16,000 patches, the last fails":                      failing(16_000),
		"16,000 to the front of 300,000, the last fails":      front,
		"16,000 selectors":                                    selectors,
		"a template of 600 kB of small objects, an empty set": {Spec: Spec{Template: rawjson.Value(`{"list":[` + strings.Repeat(`{"a":1},`, 75_000) + `0]}`), Kind: deployment}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				base, err := Compile(b.Context(), in.Spec)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = base.For(b.Context(), in.Target)
			}
		})
	}
}
