package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Children returns the first parts of all keys below a prefix, which ends with a slash, in
// order: of /registry/types.kubefed.io/ the resources that have at least one object. It asks
// once for each, however many objects there are.
func (s *Store) Children(ctx context.Context, prefix string) ([]string, error) {
	client, err := s.client(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a client of the %s: %w", s, err)
	}
	defer func() { _ = client.Close() }()
	var children []string
	end := clientv3.GetPrefixRangeEnd(prefix)
	for from := prefix; ; {
		found, err := client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err != nil {
			return nil, fmt.Errorf("read the keys below %s in the %s: %w", prefix, s, err)
		}
		if len(found.Kvs) == 0 {
			// Keys with a slash come after those that go on with a dash instead.
			slices.Sort(children)
			return slices.Compact(children), nil
		}
		key := string(found.Kvs[0].Key)
		child, _, isParent := strings.Cut(strings.TrimPrefix(key, prefix), "/")
		children = append(children, child)
		if from = key + "\x00"; isParent {
			from = clientv3.GetPrefixRangeEnd(prefix + child + "/")
		}
	}
}
