package view

import (
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// Key says what upstream was asked for.
type Key struct {
	Group, Version, Resource string
	// Namespace is empty for all, and for what has none.
	Namespace string
	// Labels and Fields are selectors as NewKey writes them; empty selects everything.
	Labels, Fields string
	// Owner is who alone reads it, as upstream answers each differently; empty if all do who may.
	Owner string
}

// NewKey returns a key, with selectors in the one way in which they are written: those that say the same in another order are the same view.
func NewKey(group, version, resource, namespace, labelSelector, fieldSelector string) (Key, error) {
	byLabels, err := labels.Parse(labelSelector)
	if err != nil {
		return Key{}, fmt.Errorf("the label selector %q: %w", labelSelector, err)
	}
	byFields, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return Key{}, fmt.Errorf("the field selector %q: %w", fieldSelector, err)
	}
	return Key{Group: group, Version: version, Resource: resource, Namespace: namespace, Labels: byLabels.String(), Fields: byFields.String()}, nil
}

// Kind is what all views of a resource have in common.
func (k Key) Kind() string { return k.Group + "/" + k.Version + "/" + k.Resource }

// String is a key as ParseKey reads it: VERSION/RESOURCE or GROUP/VERSION/RESOURCE, and behind a question mark what narrows it.
func (k Key) String() string {
	narrow := url.Values{}
	for name, value := range map[string]string{"namespace": k.Namespace, "labels": k.Labels, "fields": k.Fields, "owner": k.Owner} {
		if value != "" {
			narrow.Set(name, value)
		}
	}
	text := strings.TrimPrefix(k.Kind(), "/")
	if len(narrow) > 0 {
		text += "?" + narrow.Encode()
	}
	return text
}

// ParseKey reads what String has written.
func ParseKey(text string) (Key, error) {
	kind, narrow, _ := strings.Cut(text, "?")
	parts := strings.Split(kind, "/")
	values, err := url.ParseQuery(narrow)
	if err != nil || len(parts) < 2 || len(parts) > 3 {
		return Key{}, fmt.Errorf("%q is no name of a view", text)
	}
	if len(parts) == 2 {
		parts = append([]string{""}, parts...)
	}
	key, err := NewKey(parts[0], parts[1], parts[2], values.Get("namespace"), values.Get("labels"), values.Get("fields"))
	key.Owner = values.Get("owner")
	return key, err
}
