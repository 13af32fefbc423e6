package validation

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

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
	case len(template) > v1beta2.MaxPayloadBytes:
		// payload says so; there is no need to look inside.
	default:
		if faults := template.Faults(templatePath, v1beta2.MaxDepth); faults != nil {
			c.add(faults...)
			return
		}
		c.templateHead(kind)
	}
}

// templateHead checks the part of a template that says what it is.
func (c *check) templateHead(kind string) {
	template := c.opts.template(c.obj)
	c.templateString("kind", template, kind)
	if c.opts.TargetAPIVersion != "" {
		c.templateString("apiVersion", template, c.opts.TargetAPIVersion)
	}
	metadata, there := template["metadata"]
	if !there || metadata == nil {
		return
	}
	fields, ok := metadata.(map[string]any)
	if !ok {
		c.add(field.Invalid(templatePath.Child("metadata"), shown(metadata), "must be an object"))
		return
	}
	for _, key := range []string{"labels", "annotations"} {
		c.texts(fields[key], templatePath.Child("metadata", key))
	}
}

// texts checks a map whose values are strings.
func (c *check) texts(value any, path *field.Path) {
	if value == nil {
		return
	}
	texts, ok := value.(map[string]any)
	if !ok {
		c.add(field.Invalid(path, shown(value), "must be an object"))
		return
	}
	for _, key := range sortedKeys(texts) {
		if _, ok := texts[key].(string); !ok {
			c.add(field.Invalid(path.Key(key), shown(texts[key]), "must be a string"))
		}
	}
}

// templateString checks a field that may be left out, and else has one value only.
func (c *check) templateString(name string, template map[string]any, want string) {
	got, there := template[name]
	if !there || want == "" || got == want {
		return
	}
	c.add(field.Invalid(templatePath.Child(name), shown(got), fmt.Sprintf("must be %s, or left out", want)))
}

// payload checks the size of what the store has to hold.
func (c *check) payload() {
	const inWords = "1 MiB"
	size, old := len(c.obj.Spec.Template), len(c.oldSpec().Template)
	if size > v1beta2.MaxPayloadBytes {
		if size > old {
			c.add(field.Invalid(templatePath, fmt.Sprintf("%d bytes", size),
				fmt.Sprintf("at most %d bytes (%s) are allowed, in which data of Secrets count in base64", v1beta2.MaxPayloadBytes, inWords)))
		}
		return
	}
	size, old = payloadBytes(&c.obj.Spec), payloadBytes(c.oldSpec())
	if size > v1beta2.MaxPayloadBytes && size > old {
		c.add(field.Invalid(specPath, fmt.Sprintf("%d bytes", size),
			fmt.Sprintf("at most %d bytes (%s) are allowed for template, override paths and override values together", v1beta2.MaxPayloadBytes, inWords)))
	}
}

func payloadBytes(spec *v1beta2.FederatedObjectSpec) int {
	size := len(spec.Template)
	for i := range spec.Overrides {
		for j := range spec.Overrides[i].TopologyOverrides {
			p := &spec.Overrides[i].TopologyOverrides[j]
			size += len(p.Path) + len(p.Value)
		}
	}
	return size
}

// sameTemplate reports whether the template is the stored one. It was checked when it was
// written, or is older than what is checked now.
func (c *check) sameTemplate() bool {
	return c.old != nil && bytes.Equal(c.obj.Spec.Template, c.old.Spec.Template)
}

// shown is a value as an error can show it: a string as it is, all else as JSON.
func shown(value any) string {
	if text, ok := value.(string); ok {
		return excerpt([]byte(text))
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return excerpt(data)
}

// excerpt is the start of a value, as an error can show it.
func excerpt(raw []byte) string {
	const limitBytes = 64
	if len(raw) <= limitBytes {
		return string(raw)
	}
	return string(raw[:limitBytes]) + "..."
}

// tree parses a template; nil if it is no object that can be read.
func tree(template rawjson.Value) map[string]any {
	if !template.IsObject() || len(template) > v1beta2.MaxPayloadBytes {
		return nil
	}
	parsed, err := template.Tree()
	if err != nil {
		return nil
	}
	object, _ := parsed.(map[string]any)
	return object
}
