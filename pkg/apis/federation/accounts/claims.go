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
	// Issued and Expires bound its time. Hosts may give less than was asked for.
	Issued, Expires time.Time
	// AccountUID and SecretUID are those of the account, and of the Secret that it is bound to.
	AccountUID, SecretUID string
}

// ReadClaims reads a token without verifying it: that is for whoever gets it. It returns false if
// it is none that expires.
func ReadClaims(token string) (Claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Claims{}, false
	}
	type named struct {
		UID string `json:"uid"`
	}
	var claims struct {
		ID         string `json:"jti"`
		Issued     int64  `json:"iat"`
		Expires    int64  `json:"exp"`
		Kubernetes struct {
			Account named `json:"serviceaccount"`
			Secret  named `json:"secret"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= claims.Issued {
		return Claims{}, false
	}
	return Claims{
		ID: claims.ID, Issued: time.Unix(claims.Issued, 0), Expires: time.Unix(claims.Expires, 0),
		AccountUID: claims.Kubernetes.Account.UID, SecretUID: claims.Kubernetes.Secret.UID,
	}, true
}
