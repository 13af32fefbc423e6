package host

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const (
	// rulesPatience is how long a request waits for RBAC to be read.
	rulesPatience = 10 * time.Second
	// rulesInterval is how often it is looked whether it was.
	rulesInterval = 20 * time.Millisecond
)

// errRulesUnknown is answered as 500, which clients try again.
var errRulesUnknown = errors.New("the rules of RBAC are being read; try again")

// patient is an authorizer that refuses nobody whose rights it has not read yet. A server that
// starts serves before its caches are filled, and Forbidden is final for most clients.
type patient struct {
	authorizer.Authorizer
	known func() bool
}

// Authorize implements authorizer.Authorizer.
func (p patient) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	known := p.known() // before it is asked: what it says later is final
	decision, reason, err := p.Authorizer.Authorize(ctx, attributes)
	if decision == authorizer.DecisionAllow || known {
		return decision, reason, err
	}
	err = wait.PollUntilContextTimeout(ctx, rulesInterval, rulesPatience, false, func(context.Context) (bool, error) {
		return p.known(), nil
	})
	if err != nil {
		return authorizer.DecisionNoOpinion, "", errRulesUnknown
	}
	return p.Authorizer.Authorize(ctx, attributes)
}

// rulesOf says whether all of RBAC has been read. What it reads is read by the authorizer,
// too: it asks for no informer that would not be there.
func rulesOf(shared informers.SharedInformerFactory) func() bool {
	rbac := shared.Rbac().V1()
	rules := []cache.InformerSynced{
		rbac.Roles().Informer().HasSynced, rbac.RoleBindings().Informer().HasSynced,
		rbac.ClusterRoles().Informer().HasSynced, rbac.ClusterRoleBindings().Informer().HasSynced,
	}
	return func() bool {
		for _, synced := range rules {
			if !synced() {
				return false
			}
		}
		return true
	}
}
