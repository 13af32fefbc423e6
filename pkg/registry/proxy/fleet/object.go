package fleet

import (
	"errors"
	"fmt"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// ClusterAnnotation names the cluster of every object that is answered.
const ClusterAnnotation = v1alpha1.ClusterAnnotation

// object is one object as its member wrote it. raw is never modified.
type object struct {
	raw []byte
	// key is NAMESPACE/NAME, or NAME of cluster types. Members sort by it, as bytes.
	key        string
	namespaced bool
	version    string // resourceVersion
	kind       string // and apiVersion: "" where lists leave them out
	apiVersion string
	metadata   span // in raw, as all of them
	// annotations is empty if there are none. It may be null.
	annotations span
	// claimed: the object carries ClusterAnnotation already.
	claimed bool
}

func (o *object) namespace() string {
	namespace, _, found := strings.Cut(o.key, "/")
	if !found || !o.namespaced {
		return ""
	}
	return namespace
}

func (o *object) name() string {
	if !o.namespaced {
		return o.key
	}
	_, name, _ := strings.Cut(o.key, "/")
	return name
}

var errTwice = errors.New("a field of an object's metadata comes twice")

// scanObject steps over an object. It is an error if that has no name.
func scanObject(s *scanner) (object, error) {
	s.next()
	o, from := object{}, s.at
	var namespace, name []byte
	err := s.object(func(key []byte) (err error) {
		switch string(key) {
		case "kind":
			o.kind, err = said(s)
		case "apiVersion":
			o.apiVersion, err = said(s)
		case "metadata":
			if !o.metadata.empty() {
				return errTwice
			}
			s.next()
			o.metadata.from = s.at
			namespace, name, err = o.scanMetadata(s)
			o.metadata.to = s.at
		default:
			err = s.value()
		}
		return err
	})
	if err != nil {
		return object{}, err
	}
	o.raw = s.data[from:s.at:s.at]
	o.metadata, o.annotations = o.metadata.minus(from), o.annotations.minus(from)
	return o, o.identify(namespace, name)
}

// minus is where the span is in what begins at an offset.
func (p span) minus(offset int) span {
	if p.empty() {
		return p
	}
	return span{p.from - offset, p.to - offset}
}

// said is a word that must not be empty.
func said(s *scanner) (string, error) {
	text, err := word(s)
	if err == nil && text == "" {
		err = errors.New("the kind or the version of an object is empty")
	}
	return text, err
}

func word(s *scanner) (string, error) {
	text, err := s.text()
	return string(text), err
}

func (o *object) scanMetadata(s *scanner) (namespace, name []byte, err error) {
	err = s.object(func(key []byte) (err error) {
		switch string(key) {
		case "namespace":
			if namespace != nil {
				return errTwice
			}
			namespace, err = s.text()
		case "name":
			if name != nil {
				return errTwice
			}
			name, err = s.text()
		case "resourceVersion":
			o.version, err = word(s)
		case "annotations":
			if !o.annotations.empty() {
				return errTwice
			}
			s.next()
			o.annotations.from = s.at
			err = o.scanAnnotations(s)
			o.annotations.to = s.at
		default:
			err = s.value()
		}
		return err
	})
	return namespace, name, err
}

func (o *object) scanAnnotations(s *scanner) error {
	if s.next() == 'n' {
		return s.literal("null")
	}
	return s.object(func(key []byte) error {
		o.claimed = o.claimed || string(key) == ClusterAnnotation
		return s.value()
	})
}

func (o *object) identify(namespace, name []byte) error {
	switch {
	case len(name) == 0:
		return errors.New("an object has no name")
	case strings.ContainsRune(string(namespace), '/') || strings.ContainsRune(string(name), '/'):
		return fmt.Errorf("the name of an object, %.100q, has a slash", name)
	case len(namespace) == 0:
		o.key = string(name)
	default:
		o.namespaced = true
		o.key = string(namespace) + "/" + string(name)
	}
	return nil
}

// note is what is put among the annotations of a cluster's objects.
func note(cluster string) []byte {
	return []byte(quote(ClusterAnnotation) + ":" + quote(cluster))
}

// appendTo appends the object with the annotation, and with its kind if it says none.
func (o *object) appendTo(dst, note []byte, kind, apiVersion string) []byte {
	raw := o.raw
	if o.kind == "" && kind != "" {
		dst = append(dst, `{"kind":`...)
		dst = append(dst, quote(kind)...)
		if o.apiVersion == "" {
			dst = append(dst, `,"apiVersion":`...)
			dst = append(dst, quote(apiVersion)...)
		}
		dst, raw = append(dst, ','), raw[1:] // an object with a name has more
	}
	from := len(o.raw) - len(raw)
	dst = append(dst, o.raw[from:o.metadata.from]...)
	dst = o.appendMetadata(dst, note)
	return append(dst, o.raw[o.metadata.to:]...)
}

// appendMetadata appends the metadata with the annotation.
func (o *object) appendMetadata(dst, note []byte) []byte {
	m, a := o.metadata, o.annotations
	switch {
	case a.empty(): // metadata has a name at least
		dst = append(dst, `{"annotations":{`...)
		dst = append(append(dst, note...), "},"...)
		return append(dst, o.raw[m.from+1:m.to]...)
	case o.raw[a.from] == 'n':
		dst = append(dst, o.raw[m.from:a.from]...)
		dst = append(append(append(dst, '{'), note...), '}')
	default:
		dst = append(dst, o.raw[m.from:a.from]...)
		dst = o.appendAnnotations(dst, note)
	}
	return append(dst, o.raw[a.to:m.to]...)
}

func (o *object) appendAnnotations(dst, note []byte) []byte {
	dst = append(append(dst, '{'), note...)
	s := &scanner{data: o.annotations.of(o.raw)}
	if !o.claimed {
		s.at++
		if s.next() != '}' {
			dst = append(dst, ',')
		}
		return append(dst, s.data[s.at:]...)
	}
	_ = s.object(func(key []byte) error { // it was scanned before
		value, err := s.spanOf()
		if string(key) != ClusterAnnotation {
			dst = append(append(append(dst, ','), quote(string(key))...), ':')
			dst = append(dst, value.of(s.data)...)
		}
		return err
	})
	return append(dst, '}')
}

// appendPartial appends the metadata alone, as a PartialObjectMetadata.
func (o *object) appendPartial(dst, note []byte) []byte {
	dst = append(dst, `{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":`...)
	return append(o.appendMetadata(dst, note), '}')
}
