package accounts

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Claims are what a token of a service account says of itself.
type Claims struct {
	// ID names the token; empty if its host gives none.
	ID string
	// Subject is the user that it stands for.
	Subject string
	// Issued and Expires bound its time. Hosts may give less than was asked for. Expires is zero if it never does.
	Issued, Expires time.Time
	// AccountUID is that of the account. SecretName and SecretUID are of the Secret that the token is bound to, and PodUID of
	// the pod; empty if it is bound to none.
	AccountUID, SecretName, SecretUID, PodUID string
}

// ServiceAccount is the one whose token it is; both are empty if it is none's.
func (c Claims) ServiceAccount() (namespace, name string) {
	account, ok := strings.CutPrefix(c.Subject, userPrefix)
	if !ok {
		return "", ""
	}
	namespace, name, ok = strings.Cut(account, ":")
	if !ok {
		return "", ""
	}
	return namespace, name
}

// ReadClaims reads a token without verifying it: that is for whoever gets it. It returns false if
// it is none that expires.
func ReadClaims(token string) (Claims, bool) {
	claims, ok := ReadAnyClaims(token)
	if !ok || !claims.Expires.After(claims.Issued) {
		return Claims{}, false
	}
	return claims, true
}

// ReadAnyClaims is ReadClaims of tokens that may never expire.
func ReadAnyClaims(token string) (Claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Claims{}, false
	}
	type named struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	}
	var claims struct {
		ID         string `json:"jti"`
		Subject    string `json:"sub"`
		Issued     int64  `json:"iat"`
		Expires    int64  `json:"exp"`
		Kubernetes struct {
			Account named `json:"serviceaccount"`
			Secret  named `json:"secret"`
			Pod     named `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return Claims{}, false
	}
	return Claims{
		ID: claims.ID, Subject: claims.Subject, Issued: at(claims.Issued), Expires: at(claims.Expires),
		AccountUID: claims.Kubernetes.Account.UID, SecretName: claims.Kubernetes.Secret.Name, SecretUID: claims.Kubernetes.Secret.UID,
		PodUID: claims.Kubernetes.Pod.UID,
	}, true
}

// at is a time in seconds, which is zero if it is not said.
func at(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
