package propagation

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// What a type that could not be started has in cells is not known; one that another is served in the place of has nothing.
func TestTypesWhoseObjectsAreNotKnown(t *testing.T) {
	e := &Engine{
		looked: map[string]bool{"off": true, "broken": true, "cluster": true, "narrows": true}, failed: map[string]error{"broken": errors.New("the rule does not compile"), "cluster": errors.New("a write failed")},
		kinds: map[string]*kind{"cluster": {}, "narrows": {onlyNarrows: true, federatedNamespaced: true}},
	}
	for name, want := range map[string]string{
		"new": "its FederatedTypeConfig was not looked at yet", "broken": "the rule does not compile", "off": "", "cluster": "", "narrows": "",
	} {
		if got := e.whyUnlisted(&v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: name}}); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// What differs at each attempt would have every cell that waits written each time, and is no business of tenants.
func TestWhyATypeWasNotStartedIsTheSameAtEachAttempt(t *testing.T) {
	said := map[string]bool{}
	for port := range 3 {
		failed := fmt.Errorf("dial tcp 10.0.0.1:5%d->10.0.0.2:6443: i/o timeout", port)
		e := &Engine{failed: map[string]error{"broken": failed}}
		said[e.whyUnlisted(&v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: "broken"}})] = true
	}
	for why := range said {
		if len(said) != 1 || strings.Contains(why, "10.0.0.") {
			t.Errorf("it is said: %s", why)
		}
	}
}
