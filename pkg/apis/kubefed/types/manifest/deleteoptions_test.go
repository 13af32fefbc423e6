package manifest_test

import (
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

func TestDeleteOptionsAreReadStrictly(t *testing.T) {
	for text, problem := range map[string]string{
		``:                               "",
		`{}`:                             "",
		`{"propagationPolicy":"Orphan"}`: "",
		`{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":5}`: "",
		`{nonsense`:                      "is not DeleteOptions in JSON",
		`{} {}`:                          "there is more behind",
		`{"propogationPolicy":"Orphan"}`: `unknown field "propogationPolicy"`,
		`{"propagationPolicy":"orphan"}`: `propagationPolicy: Unsupported value: "orphan"`,
		`{"gracePeriodSeconds":"5"}`:     "cannot unmarshal string",
		`{"dryRun":["All"]}`:             "nothing would ever be deleted",
	} {
		options, err := manifest.DeleteOptions(text)
		switch {
		case problem == "" && err != nil, problem != "" && (err == nil || !strings.Contains(err.Error(), problem)):
			t.Errorf("%s: got error %v, want %q", text, err, problem)
		case strings.Contains(text, `"Orphan"`) && problem == "" && (options.PropagationPolicy == nil || *options.PropagationPolicy != "Orphan"):
			t.Errorf("%s: got %+v", text, options)
		}
	}
}
