package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/edgehub/jsonspan"
)

// Filter returns an EndpointSlice, JSON, with those endpoints only of whose nodes keep says so, and without their hints. keep is asked with "" for an endpoint that has no
// nodeName. Nothing else is changed. What is returned may be slice itself, which is not written to.
//
// An error says that it is no EndpointSlice: it is not to be shown to anybody.
func Filter(slice []byte, keep func(node string) bool) ([]byte, error) {
	if !json.Valid(slice) {
		return nil, errors.New("an EndpointSlice that is no JSON")
	}
	endpoints, err := jsonspan.Member(slice, "endpoints")
	if err != nil {
		return nil, fmt.Errorf("an EndpointSlice: %w", err)
	}
	if endpoints == nil || slice[endpoints.From] == 'n' { // null
		return slice, nil
	}
	kept, changed, err := filterEndpoints(slice[endpoints.From:endpoints.To], keep)
	if err != nil {
		return nil, fmt.Errorf("the endpoints of an EndpointSlice: %w", err)
	}
	if !changed {
		return slice, nil
	}
	return bytes.Join([][]byte{slice[:endpoints.From], kept, slice[endpoints.To:]}, nil), nil
}

// filterEndpoints returns a list of endpoints without some, and whether it differs.
func filterEndpoints(list []byte, keep func(node string) bool) (kept []byte, changed bool, err error) {
	if list[0] != '[' {
		return nil, false, errors.New("they are no list")
	}
	kept = append(make([]byte, 0, len(list)), '[')
	for at := range jsonspan.Elements(list) {
		endpoint := list[at.From:at.To]
		node, err := nodeOf(endpoint)
		if err != nil {
			return nil, false, err
		}
		if !keep(node) {
			changed = true
			continue
		}
		plain, err := without(endpoint, "hints")
		if err != nil {
			return nil, false, err
		}
		changed = changed || len(plain) != len(endpoint)
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, plain...)
	}
	return append(kept, ']'), changed, nil
}

// nodeOf is the node of an endpoint, "" if it has none.
func nodeOf(endpoint []byte) (string, error) {
	at, err := jsonspan.Member(endpoint, "nodeName")
	if err != nil || at == nil {
		return "", err
	}
	var node string
	if err := utiljson.Unmarshal(endpoint[at.From:at.To], &node); err != nil {
		return "", fmt.Errorf("a nodeName: %w", err)
	}
	return node, nil
}

// without returns an object without one of its members.
func without(object []byte, key string) ([]byte, error) {
	if value, err := jsonspan.Member(object, key); err != nil || value == nil {
		return object, err
	}
	rest := []byte{'{'}
	for name, value := range jsonspan.Members(object) {
		if jsonspan.KeyOf(object, name) == key {
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest = append(rest, object[name.From:value.To]...)
	}
	return append(rest, '}'), nil
}
