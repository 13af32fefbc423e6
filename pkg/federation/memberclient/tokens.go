package memberclient

import (
	"context"
	"encoding/json"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RequestToken has the member make a token of a service account. The error is the member's, or
// that of the connection, and holds no token.
func (c *Conn) RequestToken(ctx context.Context, namespace, account string, request *authenticationv1.TokenRequest) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request = request.DeepCopy()
	request.TypeMeta = metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenRequest"}
	body, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("encode the request: %w", err)
	}
	answer, err := c.client.Post().AbsPath("/api/v1").Namespace(namespace).Resource("serviceaccounts").Name(account).SubResource("token").
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var answered struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	if json.Unmarshal(answer, &answered) != nil || answered.Status.Token == "" {
		return "", &AnswerError{Problem: "the member answered a request for a token with something else"}
	}
	return answered.Status.Token, nil
}
