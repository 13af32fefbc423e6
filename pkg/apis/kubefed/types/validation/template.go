package validation

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// templateHead is the part of a template that says what it is. Its fields stay raw: any
// of them may be of the wrong type.
type templateHead struct {
	APIVersion json.RawMessage `json:"apiVersion"`
	Kind       json.RawMessage `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
}

var templatePath = specPath.Child("template")

func (c *check) template() {
	template, kind := c.obj.Spec.Template, c.opts.targetKind(c.obj)
	switch {
	case template == nil || string(template) == "null":
		// A namespace is fully described by its name.
		if kind != "Namespace" {
			c.add(field.Required(templatePath, fmt.Sprintf("the %s to create in each target, without name and namespace", kind)))
		}
	case !template.IsObject():
		c.add(field.Invalid(templatePath, excerpt(template), fmt.Sprintf("must be an object: the %s to create in each target", kind)))
	case len(template) > MaxPayloadBytes:
		// payload says so; there is no need to look inside.
	case !utf8.Valid(template):
		c.add(field.Invalid(templatePath, "binary data", "must be JSON in UTF-8"))
	default:
		c.templateHead(template, kind)
	}
}

func (c *check) templateHead(template rawjson.Value, kind string) {
	var head templateHead
	if err := kjson.UnmarshalCaseSensitivePreserveInts(template, &head); err != nil {
		c.add(field.Invalid(templatePath, excerpt(template), "must be JSON: "+err.Error()))
		return
	}
	c.templateString("kind", head.Kind, kind)
	if c.opts.TargetAPIVersion != "" {
		c.templateString("apiVersion", head.APIVersion, c.opts.TargetAPIVersion)
	}
	if head.Metadata != nil && !rawjson.Value(head.Metadata).IsObject() && string(head.Metadata) != "null" {
		c.add(field.Invalid(templatePath.Child("metadata"), excerpt(head.Metadata), "must be an object"))
	}
}

// templateString checks a field that may be left out, and else has one value only.
func (c *check) templateString(name string, raw json.RawMessage, want string) {
	if raw == nil || want == "" {
		return
	}
	var got string
	if err := json.Unmarshal(raw, &got); err != nil || got != want {
		c.add(field.Invalid(templatePath.Child(name), unquoted(raw, got), fmt.Sprintf("must be %s, or left out", want)))
	}
}

func unquoted(raw json.RawMessage, decoded string) string {
	if decoded != "" {
		return decoded
	}
	return excerpt(raw)
}

// payload checks the size of what the store has to hold.
func (c *check) payload() {
	size := len(c.obj.Spec.Template)
	if size > MaxPayloadBytes {
		c.add(field.Invalid(templatePath, fmt.Sprintf("%d bytes", size), fmt.Sprintf("at most %d bytes are allowed", MaxPayloadBytes)))
		return
	}
	for i := range c.obj.Spec.Overrides {
		for j := range c.obj.Spec.Overrides[i].TopologyOverrides {
			size += len(c.obj.Spec.Overrides[i].TopologyOverrides[j].Value)
		}
	}
	if size > MaxPayloadBytes {
		c.add(field.Invalid(specPath, fmt.Sprintf("%d bytes", size),
			fmt.Sprintf("at most %d bytes are allowed for template and override values together", MaxPayloadBytes)))
	}
}

// excerpt is the start of a value, as an error can show it.
func excerpt(raw []byte) string {
	const limitBytes = 64
	if len(raw) <= limitBytes {
		return string(raw)
	}
	return string(raw[:limitBytes]) + "..."
}
