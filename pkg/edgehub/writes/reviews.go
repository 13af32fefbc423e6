package writes

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
)

// isReview reports whether a program of the node asks about somebody.
func (x *exchange) isReview(r *http.Request, group, resource string) bool {
	return x.caller.Local && r.Method == http.MethodPost && x.target.Group == group && x.target.Resource == resource && x.target.Namespace == "" && x.target.Name == ""
}

func isTokenReview(x *exchange, r *http.Request) bool {
	return x.isReview(r, "authentication.k8s.io", "tokenreviews")
}

// tokenReview says whose a token was when it was asked about last.
func (x *exchange) tokenReview(rw http.ResponseWriter, _ *http.Request) bool {
	var review authenticationv1.TokenReview
	if err := decode(x.body, &review); err != nil || len(review.Spec.Audiences) > 0 {
		return false
	}
	user, known := x.config.Knows.Token(review.Spec.Token)
	if !known {
		return false
	}
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: user}
	answer(rw, http.StatusCreated, &review)
	return true
}

func isAccessReview(x *exchange, r *http.Request) bool {
	return x.isReview(r, "authorization.k8s.io", "subjectaccessreviews")
}

// accessReview says what the API server said last.
func (x *exchange) accessReview(rw http.ResponseWriter, _ *http.Request) bool {
	var review authorizationv1.SubjectAccessReview
	if err := decode(x.body, &review); err != nil {
		return false
	}
	allowed, reason, known := x.config.Knows.May(&review.Spec)
	if !known {
		return false
	}
	review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SubjectAccessReview"
	review.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Reason: reason}
	answer(rw, http.StatusCreated, &review)
	return true
}

// may reports whether the caller may do what he asks for, as far as is known. What the node itself may not, the API server says later.
func (x *exchange) may(r *http.Request) bool {
	if x.caller.Local {
		return true
	}
	allowed, _, known := x.config.Knows.May(x.review(r))
	return known && allowed
}

// review is the question whether the caller may do what he asks for.
func (x *exchange) review(r *http.Request) *authorizationv1.SubjectAccessReviewSpec {
	t, user := &x.target, &x.caller.User
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	return &authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, Groups: user.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verbs[r.Method], Group: t.Group, Version: t.Version, Resource: t.Resource, Subresource: t.Subresource, Namespace: t.Namespace, Name: t.Name,
		},
	}
}

// verbs are those of methods that are kept for later.
var verbs = map[string]string{http.MethodPost: "create", http.MethodPatch: "patch"}

// sawAllowed notes that somebody may do what he has done.
func (x *exchange) sawAllowed(r *http.Request, said *recorded) {
	if !x.caller.Local && said.isSuccess() {
		x.config.Knows.Allowed(x.review(r))
	}
}
