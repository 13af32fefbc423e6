package cellview

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// mediaOf are the types of bodies that methods take.
var mediaOf = map[string][]string{
	http.MethodPost:   {mediaJSON, mediaYAML},
	http.MethodPut:    {mediaJSON, mediaYAML},
	http.MethodDelete: {mediaJSON, mediaYAML},
	http.MethodPatch:  {mediaApply, mediaJSONPatch, mediaMergePatch, mediaStrategic},
}

// body maps a body, and returns it with its type. It is JSON, whatever it was.
func (v View) body(method string, t target, media string, body []byte) ([]byte, string, error) {
	if !slices.Contains(mediaOf[method], media) {
		return nil, "", v.refuse(http.StatusUnsupportedMediaType, "takes %s bodies as %s, not as %q: names in others cannot be mapped",
			method, strings.Join(mediaOf[method], ", "), media)
	}
	var err error
	switch media {
	case mediaYAML, mediaApply:
		if body, err = v.fromYAML(body); err != nil {
			return nil, "", err
		}
		if media == mediaYAML {
			media = mediaJSON
		}
	default:
		if !json.Valid(body) {
			return nil, "", v.bad("takes JSON: the body is none")
		}
	}
	if method == http.MethodDelete {
		return body, media, nil // DeleteOptions name no namespace
	}
	if method == http.MethodPatch && t.isNamespaces() {
		if err := v.labelsOnly(media, body); err != nil {
			return nil, "", err
		}
	}
	object := rulesFor(t).object
	if media == mediaJSONPatch {
		body, err = v.jsonPatch(object, body)
	} else {
		body, err = v.outgoing(object, body)
	}
	return body, media, err
}

// fromYAML returns one document as JSON, read as API servers read it.
func (v View) fromYAML(body []byte) ([]byte, error) {
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(body)))
	for count := 0; ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, v.bad("cannot read the body as YAML: %v", err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			count++
		}
		if count > 1 {
			return nil, v.bad("takes one YAML document only")
		}
	}
	var tree map[string]any
	if err := yaml.UnmarshalStrict(body, &tree); err != nil {
		return nil, v.bad("cannot read the body as YAML: %v", err)
	}
	out, err := json.Marshal(tree)
	if err != nil {
		return nil, v.bad("cannot write the body as JSON: %v", err)
	}
	return escapeForYAML(out), nil
}

// escapeForYAML escapes what JSON has in strings and YAML has not: the member reads JSON of
// apply patches as YAML.
func escapeForYAML(data []byte) []byte {
	isForbidden := func(r rune) bool { return r >= 0x7f && r < 0xa0 || r >= 0xfff0 && r <= 0xffff || r == 0xfeff }
	if !bytes.ContainsFunc(data, isForbidden) {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		if isForbidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// outgoing maps a value for the member. n may be nil: nothing is known of it.
func (v View) outgoing(n *node, value []byte) ([]byte, error) {
	s := newScanner(n, false)
	s.strict, s.replace, s.unknown = true, v.outgoingText, v.unknownKey
	err := s.feed(value)
	if err == nil {
		err = s.finish()
	}
	switch {
	case errors.Is(err, errKindTwice):
		return nil, v.bad("cannot map the body: %v", err)
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrTooLarge):
		return nil, v.bad("cannot read the body as JSON, or it is too deep")
	}
	return s.out, err
}

// outgoingText maps a string of a request, or refuses it.
func (v View) outgoingText(n *node, text string, decided bool) (string, error) {
	switch n.act {
	case own, reference:
		if text != v.Namespace && text != "" {
			return "", v.other(n, text)
		}
		return v.exchange(text), nil
	case choice:
		return v.exchange(text), nil
	case early:
		if !decided && (text == v.Namespace || text == v.MemberNamespace) {
			return "", v.bad("cannot map %s: what says whether it names a namespace must come before it", n.path)
		}
	case account:
		if prefix, namespace, _ := splitUser(text); prefix != text && namespace != v.Namespace {
			return "", v.other(n, text)
		}
		return v.user(text), nil
	case made:
		if text != "" {
			return "", v.forbid("has the namespace %q only: %s would make another one", v.Namespace, n.path)
		}
	case mark:
		if ours := "cell/" + v.Namespace + "/" + v.Cell; text != ours {
			return "", v.forbid("belongs to %s: %s cannot be %q", ours, n.path, text)
		}
	}
	return text, nil
}

// other refuses another namespace. API servers, too, answer 400 to an object that is not in
// the namespace of its path.
func (v View) other(n *node, text string) error {
	code := http.StatusForbidden
	if n.act == own {
		code = http.StatusBadRequest
	}
	const limitBytes = 300
	return v.refuse(code, "has the namespace %q only: %s is %q", v.Namespace, n.path, text[:min(len(text), limitBytes)])
}

const (
	directive     = "$"
	patchStrategy = "$patch"
)

// unknownKey judges a key beside those that are known. Kubernetes heeds how keys are written,
// but not every server does: what differs from a known key in case only is refused.
func (v View) unknownKey(n *node, key string) (*node, error) {
	if n.labels && strings.HasPrefix(key, directive) && key != patchStrategy {
		return nil, v.bad("cannot map the directive %s in %s", key, n.path)
	}
	for _, list := range []string{"$setElementOrder/", "$deleteFromPrimitiveList/"} {
		if name, ok := strings.CutPrefix(key, list); ok {
			if field := n.fields[name]; field != nil {
				return field, nil
			}
			key = name
		}
	}
	if n.labels {
		return nil, nil
	}
	for name := range n.fields {
		if strings.EqualFold(name, key) {
			return nil, v.bad("takes the field %q only as it is written here, not %q", name, key)
		}
	}
	return nil, nil
}

// labelsOnly refuses a patch of the namespace that is for more than labels: its annotations
// say whose it is.
func (v View) labelsOnly(media string, body []byte) error {
	refusal := v.forbid("lets labels of its namespace be patched only")
	if media == mediaJSONPatch {
		operations, err := v.operations(body)
		if err != nil {
			return err
		}
		for _, o := range operations {
			if !below(o.Path, "/metadata/labels") || o.From != "" && !below(o.From, "/metadata/labels") {
				return refusal
			}
		}
		return nil
	}
	// All keys of one name are read, so that none hides behind another.
	root, err := members(body)
	if err != nil {
		return v.bad("takes an object as a patch: %v", err)
	}
	for _, field := range root {
		switch field.key {
		case "apiVersion", "kind":
			continue
		case "metadata":
		default:
			return refusal
		}
		metadata, err := members(field.value)
		if err != nil {
			return refusal
		}
		for _, field := range metadata {
			if !slices.Contains([]string{"labels", "name", "resourceVersion", "uid"}, field.key) {
				return refusal
			}
		}
	}
	return nil
}

func below(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

type member struct {
	key   string
	value json.RawMessage
}

// members returns all of an object, keys that come twice included.
func members(object []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.Join(err, errors.New("it is none"))
	}
	var all []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: key.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// narrowReview asks about the namespace where a review asks about all of them, as lists are
// narrowed. The body is a review that was mapped.
func (v View) narrowReview(body []byte, scopes Scopes) []byte {
	var review map[string]any
	if json.Unmarshal(body, &review) != nil {
		return body // the member says what is wrong
	}
	spec, _ := review["spec"].(map[string]any)
	attributes, _ := spec["resourceAttributes"].(map[string]any)
	if namespace, _ := attributes["namespace"].(string); attributes == nil || namespace != "" {
		return body
	}
	text := func(key string) string { value, _ := attributes[key].(string); return value }
	resource := schema.GroupVersionResource{Group: text("group"), Version: strings.Trim(text("version"), "*"), Resource: text("resource")}
	if resource.Resource != "*" && scopes.Scope(resource) != Namespaced {
		return body
	}
	attributes["namespace"] = v.MemberNamespace
	out, err := json.Marshal(review)
	if err != nil {
		return body
	}
	return out
}
