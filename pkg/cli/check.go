package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
)

// checkPatience is how long a member is asked whether it answers.
const checkPatience = 5 * time.Second

// check says whether the member answers, and whether it knows the caller. A member that is away, or
// in which he has no right yet, is no reason not to have a kubeconfig.
func (o *kubeconfigOptions) check(ctx context.Context, reached target) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	member, err := o.source.newFederation(o.source.server + reached.path())
	if err != nil {
		fmt.Fprintf(o.ErrOut, "Warning: %v\n", err)
		return
	}
	answered, err := member.version(ctx)
	if err != nil {
		fmt.Fprintf(o.ErrOut, "Warning: %s cannot be used now: %s\n", reached, sentence(err))
		return
	}
	// Everybody may read the version: it does not tell whether the member knows who asks.
	if err := member.get(ctx, reached.probe(), map[string]string{"limit": "1"}).Error(); err != nil {
		fmt.Fprintf(o.ErrOut, "Warning: %s answers (Kubernetes %s), and does not let you list %s: %s\n",
			reached, answered.GitVersion, path.Base(reached.probe()), sentence(err))
		return
	}
	fmt.Fprintf(o.ErrOut, "%s answers: Kubernetes %s\n", reached, answered.GitVersion)
}

// probe is a list that most who use a target may read.
func (t target) probe() string {
	if t.kind == cell {
		return "/api/v1/namespaces/" + t.namespace + "/pods"
	}
	return "/api/v1/namespaces"
}

// version asks a server for its version of Kubernetes.
func (f *federation) version(ctx context.Context) (*version.Info, error) {
	return versionIn(f.get(ctx, "/version", nil), "the server at "+f.server)
}

// versionIn reads what a server answers to /version.
func versionIn(answer rest.Result, server string) (*version.Info, error) {
	if err := answer.Error(); err != nil { // Raw's error has not what the server says
		return nil, err
	}
	data, err := answer.Raw()
	if err != nil {
		return nil, err
	}
	var info version.Info
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("read the version of %s: %w", server, err)
	}
	return &info, nil
}
