package objectstore

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage/value"
)

// Encoding is how the objects of one kind are in the store, for who follows the store itself: a
// change of one kind comes before a change of another there.
type Encoding struct {
	// Prefix of their keys, with a slash at the end.
	Prefix string

	codec       runtime.Codec
	transformer value.Transformer // nil stores what the codec writes
	newObject   func() runtime.Object
}

func encodingOf(options generic.RESTOptions, newObject func() runtime.Object) Encoding {
	config := options.StorageConfig
	return Encoding{
		Prefix: path.Join("/", config.Prefix, options.ResourcePrefix) + "/",
		codec:  config.Codec, transformer: config.Transformer, newObject: newObject,
	}
}

// Key of an object; namespace is empty for kinds that have none.
func (e Encoding) Key(namespace, name string) string { return e.Prefix + path.Join(namespace, name) }

// NameOf reads a key; ok is false if it is no object's of the kind.
func (e Encoding) NameOf(key string, scope Scope) (namespace, name string, ok bool) {
	name, ok = strings.CutPrefix(key, e.Prefix)
	if ok && scope == Namespaced {
		namespace, name, ok = strings.Cut(name, "/")
	}
	return namespace, name, ok && name != "" && !strings.Contains(name, "/")
}

// Decode reads what a key had at a revision.
func (e Encoding) Decode(ctx context.Context, key string, data []byte, revision int64) (runtime.Object, error) {
	if e.transformer != nil {
		var err error
		if data, _, err = e.transformer.TransformFromStorage(ctx, data, value.DefaultContext(key)); err != nil {
			return nil, fmt.Errorf("decrypt %s: %w", key, err)
		}
	}
	object, _, err := e.codec.Decode(data, nil, e.newObject())
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", key, err)
	}
	if accessor, ok := object.(metav1.Object); ok {
		accessor.SetResourceVersion(strconv.FormatInt(revision, 10))
	}
	return object, nil
}
