package names_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/names"
)

var (
	configMap   = names.Of(schema.GroupKind{Kind: "ConfigMap"})
	clusterRole = names.Of(schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"})
)

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 254)
	for sentence, test := range map[string]struct {
		rule         names.Rule
		name         string
		generateName string
		// want is the field that is refused, "" if none is.
		want string
	}{
		"a subdomain":                         {rule: configMap, name: "web.v1-2"},
		"capitals and underscores":            {rule: configMap, name: "Foo_Bar", want: "metadata.name"},
		"a blank":                             {rule: configMap, name: "a b", want: "metadata.name"},
		"characters that are not ASCII":       {rule: configMap, name: "ü☃", want: "metadata.name"},
		"253 characters":                      {rule: configMap, name: long[:253]},
		"254 characters":                      {rule: configMap, name: long, want: "metadata.name"},
		"a colon":                             {rule: configMap, name: "system:web", want: "metadata.name"},
		"a role with a colon and capitals":    {rule: clusterRole, name: "system:Web"},
		"a role with a slash":                 {rule: clusterRole, name: "a/b", want: "metadata.name"},
		"a role of 254 characters":            {rule: clusterRole, name: long, want: "metadata.name"},
		"the prefix of a generated name":      {rule: configMap, name: "web-x7f2q", generateName: "web-"},
		"a bad prefix, told once":             {rule: configMap, name: "Web-x7f2q", generateName: "Web-", want: "metadata.generateName"},
		"a role's prefix":                     {rule: clusterRole, name: "system:x7f2q", generateName: "system:"},
		"the record of a config map":          {rule: names.Record, name: "configmap-web"},
		"the record of a name that cannot be": {rule: names.Record, name: "configmap-Web", want: "metadata.name"},
		"the record of a role":                {rule: names.Record, name: "clusterrole-system:Web"},
	} {
		t.Run(sentence, func(t *testing.T) {
			meta := &metav1.ObjectMeta{Name: test.name, GenerateName: test.generateName}
			got := ""
			for _, err := range names.Validate(meta, test.rule, field.NewPath("metadata")) {
				if got != "" && got != err.Field {
					t.Errorf("also got %v", err)
				}
				got = err.Field
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("refused field (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnErrorDoesNotRepeatALongName(t *testing.T) {
	errs := names.Validate(&metav1.ObjectMeta{Name: strings.Repeat("n", 1500)}, configMap, field.NewPath("metadata"))
	if len(errs) != 1 || len(errs[0].Error()) > 600 || !strings.Contains(errs[0].Error(), "(1500 bytes)") {
		t.Errorf("got %v", errs)
	}
}
