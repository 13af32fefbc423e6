package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/test/bench/report"
)

func TestColumnsAreSetBesideTheMember(t *testing.T) {
	s := &sheet{Report: report.New(wayNames...)}
	tallies := []*tally{
		{took: []time.Duration{2 * time.Millisecond, 4 * time.Millisecond}, cpu: usage{member: 0.008}},
		{took: []time.Duration{time.Millisecond, 2 * time.Millisecond}},
		{took: []time.Duration{3 * time.Millisecond, 9 * time.Millisecond}, cpu: usage{server: 0.006, member: 0.01}},
	}
	s.aims("GET", "median, added", wayNames, tallies, map[string]float64{byCell: 0.5})
	s.compare("GET", wayNames, tallies)
	if s.err != nil {
		t.Fatal(s.err)
	}
	var got strings.Builder
	if err := s.Write(&got); err != nil {
		t.Fatal(err)
	}
	want := `### Aims

| Aim                          |       Wanted | Measured | Verdict |
|------------------------------|-------------:|---------:|--------:|
| GET, cell, median, added, ms | at most 0.50 |        1 |  missed |

### GET

|                             | directly | clusters | cell |
|-----------------------------|---------:|---------:|-----:|
| median ÷ directly           |        – |     0.50 | 1.50 |
| median, added, ms           |        – |       -1 |    1 |
| P99 ÷ directly              |        – |     0.50 | 2.25 |
| median, ms                  |        2 |        1 |    3 |
| P99, ms                     |        4 |        2 |    9 |
| CPU of the server, each, ms |        0 |        0 |    3 |
| CPU of the member, each, ms |        4 |        0 |    5 |
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestAFigureThatIsNoNumberIsAnError(t *testing.T) {
	s := &sheet{Report: report.New(directly)}
	s.add(directly, report.Measure{Group: "GET", Name: "median"}, math.NaN())
	if s.err == nil || !strings.Contains(s.err.Error(), "GET, median, directly") {
		t.Errorf("got %v", s.err)
	}
}

func TestMetadataOfAList(t *testing.T) {
	for name, test := range map[string]struct {
		list, token string
		fails       bool
	}{
		"with more":                 {`{"kind":"List","metadata":{"resourceVersion":"5","continue":"abc"},"items":[]}`, "abc", false},
		"the last chunk":            {`{"kind":"List","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"x"}}]}`, "", false},
		"whose items come first":    {`{"items":[],"metadata":{}}`, "", true},
		"that ends in its metadata": {`{"metadata":{"continue":`, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			meta, err := listMeta(json.NewDecoder(strings.NewReader(test.list)))
			if (err != nil) != test.fails || err == nil && meta.Continue != test.token {
				t.Errorf("got %q, %v", meta.Continue, err)
			}
		})
	}
}
