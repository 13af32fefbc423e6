package storesuite

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// passed, failed and died are what test2json makes of a suite.
const (
	passed = `
{"Action":"start"}
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/one"}
{"Action":"output","Test":"TestA/one","Output":"nothing to see\n"}
{"Action":"pass","Test":"TestA/one"}
{"Action":"skip","Test":"TestA/two"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"pass","Test":"TestB"}
{"Action":"pass"}`
	failed = `
{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/one"}
{"Action":"fail","Test":"TestA/one"}
{"Action":"run","Test":"TestA/two"}
{"Action":"pass","Test":"TestA/two"}
{"Action":"fail","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"run","Test":"TestB/one"}
{"Action":"pass","Test":"TestB/one"}
{"Action":"fail","Test":"TestB"}
{"Action":"fail"}`
	died = `
{"Action":"run","Test":"TestA"}
{"Action":"pass","Test":"TestA"}
{"Action":"run","Test":"TestB"}
{"Action":"fail"}`
	leaked = `
{"Action":"run","Test":"TestA"}
{"Action":"pass","Test":"TestA"}
{"Action":"fail"}`
)

func mustRead(t *testing.T, events string) Results {
	t.Helper()
	results, err := readResults("etcd3", strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestCasesAreWhatPassedAndWhatFailedByItself(t *testing.T) {
	cases := map[string]struct {
		events string
		want   []string
	}{
		"what has subtests is no case of its own":              {passed, []string{"etcd3.TestA/one", "etcd3.TestA/two", "etcd3.TestB"}},
		"unless it fails and its subtests do not":              {failed, []string{"etcd3.TestA/one", "etcd3.TestA/two", "etcd3.TestB", "etcd3.TestB/one"}},
		"a test in which the process dies is a case":           {died, []string{"etcd3.TestA", "etcd3.TestB"}},
		"a suite that fails although all tests pass is a case": {leaked, []string{"etcd3", "etcd3.TestA"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, mustRead(t, c.events).Cases()); diff != "" {
				t.Errorf("cases (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAVerdictKnowsFailuresExceptionsAndStaleOnes(t *testing.T) {
	cases := map[string]struct {
		events     string
		exceptions []Exception
		want       Verdict
	}{
		"all pass": {passed, nil, Verdict{Cases: 3, Passed: 2, Skipped: 1}},
		"failures without leave": {failed, nil,
			Verdict{Cases: 4, Passed: 2, Failed: []string{"etcd3.TestA/one", "etcd3.TestB"}}},
		"failures with leave": {failed, []Exception{{Case: "etcd3.TestA/.*ne"}, {Case: "etcd3.TestB", Store: "SQL.*"}},
			Verdict{Cases: 4, Passed: 2, Excepted: 2}},
		"leave for another store": {failed, []Exception{{Case: "etcd3.Test(A/one|B)", Store: "MariaDB"}},
			Verdict{Cases: 4, Passed: 2, Failed: []string{"etcd3.TestA/one", "etcd3.TestB"}}},
		"leave that is not needed": {passed, []Exception{{Case: "etcd3.TestB"}},
			Verdict{Cases: 3, Passed: 2, Skipped: 1, Stale: []string{`"etcd3.TestB": etcd3.TestB did not fail`}}},
		"leave for what is not there": {passed, []Exception{{Case: "etcd3.TestC"}},
			Verdict{Cases: 3, Passed: 2, Skipped: 1, Stale: []string{`"etcd3.TestC": there is no such case`}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.Store = "SQLite"
			if diff := cmp.Diff(c.want, Judge("SQLite", mustRead(t, c.events), c.exceptions)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAHastyTestThatFailsIsTriedAgain(t *testing.T) {
	const hasty = `
{"Action":"run","Test":"TestCompact"}
{"Action":"fail","Test":"TestCompact"}
`
	cases := map[string]struct {
		first, again string
		pattern      string
		want         Verdict
	}{
		"it passes then":        {hasty + `{"Action":"fail"}`, `{"Action":"pass","Test":"TestCompact"}{"Action":"pass"}`, "^(TestCompact)$", Verdict{Cases: 1, Passed: 1}},
		"it fails then":         {hasty + `{"Action":"fail"}`, hasty + `{"Action":"fail"}`, "^(TestCompact)$", Verdict{Cases: 1, Failed: []string{"etcd3.TestCompact"}}},
		"others failed as well": {hasty + failed, `{"Action":"pass","Test":"TestCompact"}{"Action":"pass"}`, "^(TestCompact)$", Verdict{Cases: 5, Passed: 3, Failed: []string{"etcd3.TestA/one", "etcd3.TestB"}}},
		"only others failed":    {failed, "", "", Verdict{Cases: 4, Passed: 2, Failed: []string{"etcd3.TestA/one", "etcd3.TestB"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			results := mustRead(t, c.first)
			if got := results.HastyOnes("etcd3"); got != c.pattern {
				t.Errorf("pattern: got %q, want %q", got, c.pattern)
			}
			results.Replace("etcd3", mustRead(t, c.again))
			if diff := cmp.Diff(c.want, Judge("", results, nil)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}
