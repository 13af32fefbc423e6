package cli

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// joiner is the federation that joins and unjoins, as far as it is known which one that is.
type joiner struct {
	// federation is what it is called; empty if that is not known.
	federation string
	// unread is a sentence on why it is not known.
	unread string
}

// joiner reads which federation this is. err is why the KubeFedConfig could not be read.
func (c *koinonClients) joiner(ctx context.Context, system string) (j joiner, err error) {
	config, err := c.kubefed.KubeFedConfigs(system).Get(ctx, v1beta1.KubeFedConfigName, metav1.GetOptions{})
	if err != nil {
		return joiner{unread: fmt.Sprintf("read the KubeFedConfig %q: %s", v1beta1.KubeFedConfigName, sentence(err))}, err
	}
	if j.federation = config.Annotations[v1alpha1.FederationAnnotation]; j.federation == "" {
		j.unread = fmt.Sprintf("the KubeFedConfig %q has no annotation %s yet", v1beta1.KubeFedConfigName, v1alpha1.FederationAnnotation)
	}
	return j, nil
}

// others says whose an object is that a join of a named federation made, as the end of a sentence; empty if it is
// this one's, or names none. Where it is not known which federation this is, it may be another's.
func (j joiner) others(have metav1.Object) string {
	switch by := have.GetAnnotations()[v1beta1.JoinedByAnnotation]; {
	case by == "" || by == j.federation:
		return ""
	case j.federation == "":
		return fmt.Sprintf("that of the federation %s, and it is not known whether that is this one: %s", by, j.unread)
	default:
		return "that of another federation, " + by
	}
}

// mayChange refuses what no join of this federation made.
func (j joiner) mayChange(what string, have metav1.Object) error {
	if whose := j.others(have); whose != "" {
		return fmt.Errorf("the %s in the member is %s: --account NAME makes another one", what, whose)
	}
	if !madeByJoin(have) {
		return fmt.Errorf("the %s in the member was made by no join, and is not as it must be: delete it, or choose another --account", what)
	}
	return nil
}

// madeByJoin reports whether a join of any federation made an object.
func madeByJoin(have metav1.Object) bool { return have.GetLabels()[managedByLabel] == managedBy }
