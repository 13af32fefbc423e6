// Package privilege asks whether who writes an object may do what that does elsewhere: give
// rights in members, delete namespaces there, or open what members have for themselves.
package privilege

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// Object is what is written.
type Object struct {
	Resource schema.GroupResource
	Name     string
}

// Need returns a Forbidden for the object unless the user of the request may do what
// attributes, without a user, say. Without a user it is this process that writes. why is a
// subject for "takes the verb".
func Need(ctx context.Context, rules authorizer.Authorizer, attributes authorizer.AttributesRecord, object Object, why string) error {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return nil
	}
	attributes.User = user
	decision, _, err := rules.Authorize(ctx, attributes)
	if decision == authorizer.DecisionAllow {
		return nil
	}
	resource := schema.GroupResource{Group: attributes.APIGroup, Resource: attributes.Resource}
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("ask whether %s may %s %s: %w", user.GetName(), attributes.Verb, resource, err))
	}
	return apierrors.NewForbidden(object.Resource, object.Name,
		fmt.Errorf("%s takes the verb %q on %s, which %q does not have", why, attributes.Verb, resource, user.GetName()))
}
