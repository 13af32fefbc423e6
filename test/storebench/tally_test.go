package main

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/test/storebench/load"
)

func TestTally(t *testing.T) {
	tally := newTally([]string{"a", "b"})
	ended := errors.New("the connection ended")
	tally.operate("a", "mixed", load.Result{FirstError: ended, Kinds: map[string]load.Figures{
		load.Get: {Failed: 2}, load.Update: {Failed: 3}, load.Create: {Latencies: load.Latencies{time.Second}},
	}})
	tally.operate("a", "mixed", load.Result{FirstError: errors.New("another"), Kinds: map[string]load.Figures{load.Update: {Failed: 1}}})
	tally.operate("b", "mixed", load.Result{})
	tally.deliver("b", "churn", load.Delivery{Owed: 4, Delivered: 4})
	tally.deliver("b", "churn", load.Delivery{Owed: 4, Delivered: 3, Strange: 1})
	tally.deliver("b", "churn", load.Delivery{Owed: 4, Delivered: 2})

	tally.crash("b")

	want := map[string]counts{
		"a": {failedWrites: 4, failedReads: 2, delivered: 1},
		"b": {crashes: 1, delivered: 0.5},
	}
	for store, counts := range want {
		if *tally.stores[store] != counts {
			t.Errorf("counts of %s: got %+v, want %+v", store, *tally.stores[store], counts)
		}
	}
	sentences := []string{
		"a, mixed: 6 operations failed, one of them with: the connection ended.",
		"b, churn: of 8 events owed 5 came; 0 came twice, 0 out of order, 0 had another revision than the answer to their write, and 1 were of no acknowledged write.",
	}
	if diff := cmp.Diff(sentences, tally.sentences()); diff != "" {
		t.Errorf("sentences (-want +got):\n%s", diff)
	}
}
