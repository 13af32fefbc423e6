package seats

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
)

// List returns the holders of one kind in all namespaces, as of now.
type List func(ctx context.Context) ([]Holder, error)

// ListFrom lists the holders in storage. holder makes one of an item.
func ListFrom(lister rest.Lister, holder func(item runtime.Object) Holder) List {
	return func(ctx context.Context) ([]Holder, error) {
		everywhere := genericapirequest.WithNamespace(ctx, metav1.NamespaceAll)
		// No resource version: what was stored a moment ago must be in the list.
		list, err := lister.List(everywhere, &metainternalversion.ListOptions{})
		if err != nil {
			return nil, err
		}
		var holders []Holder
		err = meta.EachListItem(list, func(item runtime.Object) error {
			holders = append(holders, holder(item))
			return nil
		})
		return holders, err
	}
}

// Settle claims the seats of objects that were stored by servers that knew no book. It does
// so once in the life of a Book; until it has succeeded, nobody else's claims are taken. Of
// two such objects on one seat the older one gets it. The other one keeps its place in the
// store, says in its condition who has the seat, and nothing is written for it.
func (b *Book) Settle(ctx context.Context) error {
	select {
	case settled := <-b.settled:
		defer func() { b.settled <- settled }()
		if settled {
			return nil
		}
		err := b.settle(ctx)
		settled = err == nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *Book) settle(ctx context.Context) error {
	var holders []Holder
	for _, list := range b.lists {
		more, err := list(ctx)
		if err != nil {
			return fmt.Errorf("list who has namespaces of members: %w", err)
		}
		holders = append(holders, more...)
	}
	slices.SortStableFunc(holders, func(a, b Holder) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.String(), b.String()))
	})
	for _, holder := range holders {
		if err := b.seat(ctx, holder); err != nil {
			return err
		}
	}
	return nil
}

// seat claims the seat of a stored object, unless it has it already.
func (b *Book) seat(ctx context.Context, holder Holder) error {
	page, err := b.page(ctx, holder)
	if err != nil {
		return err
	}
	if ownership.Holders(page)[holder.Seat.Member] == holder.Owner {
		return nil
	}
	holder.Stored = true
	refused, err := b.claim(ctx, holder)
	if len(refused) > 0 {
		klog.FromContext(ctx).Info("Found a namespace of a member with two owners", "holder", holder.String(), "problem", refused.ToAggregate().Error())
	}
	return err
}
