package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	r := New("koinon", "CRDs")
	list := Measure{"LIST", "stored", "s"}
	r.Add("koinon", list, 0.5, 0.25, 0.3)
	r.Add("CRDs", list, 3)
	etcd := Measure{"Memory", "etcd", "MiB"}
	r.Add("CRDs", etcd, 123.4)
	r.AtLeast("times as quick", r.Median("CRDs", list)/r.Median("koinon", list), 10)
	r.AtMost("memory", 0.3, 0.25)
	var got strings.Builder
	if err := r.Write(&got); err != nil {
		t.Fatal(err)
	}
	want := `### Aims

| Aim            |       Wanted | Measured | Verdict |
|----------------|-------------:|---------:|--------:|
| times as quick |  at least 10 |       10 |     met |
| memory         | at most 0.25 |     0.30 |  missed |

### LIST

|           |           koinon | CRDs | CRDs / koinon |
|-----------|-----------------:|-----:|--------------:|
| stored, s | 0.30 (0.25…0.50) |    3 |            10 |

### Memory

|           | koinon | CRDs | CRDs / koinon |
|-----------|-------:|-----:|--------------:|
| etcd, MiB |      – |  123 |             – |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestReportOfThree(t *testing.T) {
	r := New("a", "b", "c")
	create := Measure{"Create", "1 client", "ops/s"}
	r.Add("a", create, 1200)
	r.Add("c", create, 800)
	var got strings.Builder
	if err := r.Write(&got); err != nil {
		t.Fatal(err)
	}
	want := `
### Create

|                 |    a |   b |   c |
|-----------------|-----:|----:|----:|
| 1 client, ops/s | 1200 |   – | 800 |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestMedian(t *testing.T) {
	tests := map[string]struct {
		values []float64
		want   float64
	}{
		"the middle one of an odd number": {[]float64{9, 1, 5}, 5},
		"the mean of two middle ones":     {[]float64{4, 1, 2, 9}, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := median(test.values); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
